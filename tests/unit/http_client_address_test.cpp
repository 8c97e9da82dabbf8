#include <weir/http/client_address.hpp>

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace {

using namespace weir::http;
namespace ip = boost::asio::ip;

std::vector<network> const trusted{ip::make_network_v4("127.0.0.0/8"), ip::make_network_v4("10.1.2.0/23"),
                                   ip::make_network_v6("2001:db8:aa00::/40"), ip::make_network_v6("::1/128")};

struct found : client_address {
    explicit found(std::string const& peer, std::string const& fields = {}) {
        text = "GET / HTTP/1.1\r\nHost: h\r\n" + fields + "\r\n";
        EXPECT_EQ(parse_request_head(text, {}, head).state, parse_state::complete) << fields;
        find_client(ip::make_address(peer), head, trusted, *this);
    }

    std::string text;
    request_head head;
};

TEST(http_client_address, is_the_peer_when_nothing_was_forwarded) {
    EXPECT_EQ(found("192.0.2.7").key, "192.0.2.7");
    EXPECT_EQ(found("127.0.0.1").key, "127.0.0.1");
    EXPECT_FALSE(found("192.0.2.7").peer_trusted);
    EXPECT_TRUE(found("127.0.0.1").peer_trusted);
}

TEST(http_client_address, ignores_what_an_untrusted_peer_forwards) {
    EXPECT_EQ(found("192.0.2.7", "X-Forwarded-For: 198.51.100.1\r\nForwarded: for=198.51.100.2\r\n"
                                 "X-Real-IP: 198.51.100.3\r\n")
                  .key,
              "192.0.2.7");
}

TEST(http_client_address, walks_from_the_right_to_the_first_untrusted) {
    EXPECT_EQ(found("127.0.0.1", "X-Forwarded-For: 198.51.100.1, 203.0.113.9, 10.1.3.4, 10.1.2.1\r\n").key,
              "203.0.113.9");
    EXPECT_EQ(found("127.0.0.1", "X-Forwarded-For: 198.51.100.1, 203.0.113.9\r\nX-Forwarded-For: 10.1.3.4\r\n").key,
              "203.0.113.9")
        << "several fields are one list";
    EXPECT_EQ(found("127.0.0.1", "X-Forwarded-For: 10.1.2.9, 10.1.3.4\r\n").key, "10.1.2.9") << "all are trusted";
    EXPECT_EQ(found("127.0.0.1", "X-Forwarded-For: 198.51.100.1, 10.1.4.1\r\n").key, "10.1.4.1") << "just outside /23";
}

TEST(http_client_address, ends_the_walk_at_the_hop_that_wrote_no_address) {
    for (std::string const garbage : {"unknown", "_hidden", "", "1.2.3", "1.2.3.4.5", "01.2.3.4x", "[::1", "::1]",
                                      "1.2.3.4:", "1.2.3.4:x", "fe80::1%eth0", "a,", "1.2.3.4 5"})
        EXPECT_EQ(found("127.0.0.1", "X-Forwarded-For: 198.51.100.1, " + garbage + ", 10.1.2.1\r\n").key, "10.1.2.1")
            << garbage;
}

TEST(http_client_address, takes_ports_brackets_and_both_families) {
    EXPECT_EQ(found("127.0.0.1", "X-Forwarded-For: 198.51.100.1:8080\r\n").key, "198.51.100.1");
    EXPECT_EQ(found("127.0.0.1", "X-Forwarded-For: [2001:db8:1:2:3::4]:8080\r\n").key, "2001:db8:1:2::/64");
    EXPECT_EQ(found("127.0.0.1", "X-Forwarded-For: [2001:db8:1:2:3::4]\r\n").key, "2001:db8:1:2::/64");
    EXPECT_EQ(found("::1", "X-Forwarded-For: 2001:db8:1:2:3::4\r\n").key, "2001:db8:1:2::/64");
    EXPECT_EQ(found("2001:db8:aaff::1", "X-Forwarded-For: 198.51.100.1\r\n").key, "198.51.100.1");
    EXPECT_EQ(found("2001:db8:ab00::1", "X-Forwarded-For: 198.51.100.1\r\n").key, "2001:db8:ab00::/64");
}

TEST(http_client_address, gives_a_whole_64_of_ipv6_one_key_and_no_other) {
    EXPECT_EQ(found("2001:db8:1:2::1").key, found("2001:db8:1:2:ffff:ffff:ffff:ffff").key);
    EXPECT_NE(found("2001:db8:1:2::1").key, found("2001:db8:1:3::1").key);
    EXPECT_EQ(found("2001:db8:1:2:3::4").ip, ip::make_address("2001:db8:1:2:3::4"));
}

TEST(http_client_address, treats_ipv4_mapped_into_ipv6_as_ipv4) {
    EXPECT_EQ(found("::ffff:192.0.2.7").key, "192.0.2.7");
    EXPECT_TRUE(found("::ffff:127.0.0.1").peer_trusted);
    EXPECT_EQ(found("127.0.0.1", "X-Forwarded-For: 198.51.100.1, ::ffff:10.1.2.3\r\n").key, "198.51.100.1");
}

TEST(http_client_address, reads_forwarded_when_there_is_no_x_forwarded_for) {
    EXPECT_EQ(found("127.0.0.1", "Forwarded: for=198.51.100.1;proto=https, For=\"10.1.2.1:99\" ; by=10.1.2.2\r\n").key,
              "198.51.100.1");
    EXPECT_EQ(found("127.0.0.1", "Forwarded: proto=http;for=\"[2001:db8:1:2::1]:99\"\r\n").key, "2001:db8:1:2::/64");
    EXPECT_EQ(found("127.0.0.1", "Forwarded: for=198.51.100.1, proto=http\r\n").key, "127.0.0.1") << "no for";
    EXPECT_EQ(found("127.0.0.1", "Forwarded: for=198.51.100.1;for=198.51.100.2\r\n").key, "127.0.0.1") << "two";
    EXPECT_EQ(found("127.0.0.1", "Forwarded: for=198.51.100.1\r\nX-Forwarded-For: 198.51.100.2\r\n").key,
              "198.51.100.2");
}

TEST(http_client_address, reads_x_real_ip_last) {
    EXPECT_EQ(found("127.0.0.1", "X-Real-IP: 198.51.100.1\r\n").key, "198.51.100.1");
    EXPECT_EQ(found("127.0.0.1", "X-Real-IP: 198.51.100.1\r\nForwarded: for=198.51.100.2\r\n").key, "198.51.100.2");
}

} // namespace
