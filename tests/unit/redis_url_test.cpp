#include <weir/redis/url.hpp>

#include <gtest/gtest.h>

#include <cstdlib>
#include <optional>

namespace {

using namespace weir;
using redis::address;

address parse(std::string_view url) {
    error_code ec;
    std::string why;
    auto result = redis::parse_url(url, ec, &why);
    EXPECT_FALSE(ec) << url << ": " << why;
    return result;
}

std::string why_not(std::string_view url) {
    error_code ec;
    std::string why;
    redis::parse_url(url, ec, &why);
    EXPECT_EQ(ec, errc::invalid_url) << url;
    return why;
}

// Sets a variable of the environment, or unsets it, for the time of a test.
class environment {
public:
    environment(char const* name, char const* value)
        : name_(name) {
        if (auto const* old = std::getenv(name))
            old_ = old;
        set(value);
    }
    environment(environment const&) = delete;
    environment& operator=(environment const&) = delete;
    ~environment() { set(old_ ? old_->c_str() : nullptr); }

private:
    void set(char const* value) { value ? ::setenv(name_, value, 1) : ::unsetenv(name_); }
    char const* name_;
    std::optional<std::string> old_;
};

TEST(redis_url, fills_what_is_left_out) {
    auto const plain = parse("redis://");
    EXPECT_EQ(plain.host, "127.0.0.1");
    EXPECT_EQ(plain.port, 6379);
    EXPECT_EQ(plain.database, 0);
    EXPECT_EQ(plain.via, address::transport::tcp);
    EXPECT_EQ(parse("redis://cache.example").host, "cache.example");
    EXPECT_EQ(parse("redis://cache.example:").port, 6379);
}

TEST(redis_url, reads_every_part) {
    auto const full = parse("rediss://us%40er:p%3Aw%2F%20@[::1]:7000/5");
    EXPECT_EQ(full.via, address::transport::tls);
    EXPECT_EQ(full.user, "us@er");
    EXPECT_EQ(full.password, "p:w/ ");
    EXPECT_EQ(full.host, "::1");
    EXPECT_EQ(full.port, 7000);
    EXPECT_EQ(full.database, 5);
    EXPECT_EQ(full.display(), "rediss://[::1]:7000/5");
    EXPECT_EQ(parse("redis://:secret@h").password, "secret");
    EXPECT_EQ(parse("redis://:secret@h").user, "");
    EXPECT_EQ(parse("redis://h/?db=4").database, 4);
}

TEST(redis_url, reads_what_tls_needs) {
    auto const bare = parse("rediss://cache.example");
    EXPECT_TRUE(bare.tls.verify);
    EXPECT_EQ(bare.tls, redis::tls_settings{});
    auto const full =
        parse("rediss://cache.example/1?cacert=%2Fetc%2Fca.pem&cert=/c.pem&key=/c.key&sni=redis.internal");
    EXPECT_EQ(full.tls.ca_file, "/etc/ca.pem");
    EXPECT_EQ(full.tls.certificate_file, "/c.pem");
    EXPECT_EQ(full.tls.key_file, "/c.key");
    EXPECT_EQ(full.tls.server_name, "redis.internal");
    EXPECT_EQ(full.database, 1);
    EXPECT_EQ(parse("rediss://h?cacertdir=/etc/ssl&db=3").tls.ca_directory, "/etc/ssl");
    EXPECT_FALSE(parse("rediss://h?verify=none").tls.verify);
    EXPECT_EQ(why_not("rediss://h?verify=maybe"), "verify is 'full' or 'none'");
    EXPECT_EQ(why_not("rediss://h?cert=/c.pem"), "a client's certificate needs both, cert=FILE and key=FILE");
    EXPECT_EQ(why_not("rediss://h?cacert="), "the query's 'cacert' is empty or no text");
    EXPECT_EQ(why_not("rediss://h?ca=/x"),
              "the query names 'ca', but only db, mode, node, cacert, cacertdir, cert, key, sni and verify are known");
    EXPECT_EQ(why_not("redis://h?cacert=/x"), "the query names 'cacert', but only db, mode, node and master are known");
}

TEST(redis_url, reads_the_nodes_of_a_cluster) {
    auto const all =
        parse("rediss://u:p@a.example:7000?mode=cluster&node=b.example:7001&node=%5B::1%5D:7002&verify=none");
    EXPECT_EQ(all.topology, redis::topology::cluster);
    EXPECT_EQ(all.host, "a.example");
    EXPECT_EQ(all.nodes, (std::vector<std::pair<std::string, std::uint16_t>>{{"b.example", 7001}, {"::1", 7002}}));
    EXPECT_EQ(parse("redis://h?mode=standalone").topology, redis::topology::standalone);
    EXPECT_EQ(why_not("redis://h?mode=ring"), "the mode 'ring' is not standalone, cluster or sentinel");
    EXPECT_EQ(why_not("redis://h?node=h:1"), "further nodes are for mode=cluster and mode=sentinel");
    EXPECT_EQ(why_not("redis://h/1?mode=cluster"), "a cluster has one database, number 0");
    EXPECT_NE(why_not("unix:///r.sock?mode=cluster"), "");
    for (auto const* wrong : {"h", "h:", ":1", "h:0", "h:65536", "h:x", "::1:7000", "a/b:1"})
        EXPECT_EQ(why_not("redis://h?mode=cluster&node=" + std::string(wrong)),
                  "the node '" + std::string(wrong) + "' is not HOST:PORT");
}

TEST(redis_url, reads_sentinels) {
    auto const group = parse("redis://u:p@s1:26379/2?mode=sentinel&master=main&node=s2:26379&sentinel_password=x%26y");
    EXPECT_EQ(group.topology, redis::topology::sentinel);
    EXPECT_EQ(group.master_name, "main");
    EXPECT_EQ(group.database, 2);
    EXPECT_EQ(group.sentinel_password, "x&y");
    EXPECT_EQ(group.nodes.size(), 1u);
    EXPECT_EQ(group.display().find("x&y"), std::string::npos);
    EXPECT_EQ(why_not("redis://s1?mode=sentinel"), "mode=sentinel and master=NAME belong together");
    EXPECT_EQ(why_not("redis://s1?master=main"), "mode=sentinel and master=NAME belong together");
    EXPECT_NE(why_not("unix:///s?mode=sentinel&master=main"), "");
}

TEST(redis_url, reads_unix_sockets) {
    auto const socket = parse("unix://user:pw@/run/my%20redis.sock?db=2");
    EXPECT_EQ(socket.via, address::transport::unix_socket);
    EXPECT_EQ(socket.path, "/run/my redis.sock");
    EXPECT_EQ(socket.user, "user");
    EXPECT_EQ(socket.password, "pw");
    EXPECT_EQ(socket.database, 2);
    EXPECT_EQ(parse("unix:///run/redis.sock").display(), "unix:///run/redis.sock");
}

TEST(redis_url, names_what_is_wrong) {
    EXPECT_NE(why_not("127.0.0.1:6379").find("not a URL"), std::string::npos);
    EXPECT_NE(why_not("http://h").find("'http'"), std::string::npos);
    EXPECT_NE(why_not("redis:h").find("//"), std::string::npos);
    EXPECT_NE(why_not("redis://h:0").find("port '0'"), std::string::npos);
    EXPECT_NE(why_not("redis://h:70000").find("port '70000'"), std::string::npos);
    EXPECT_NE(why_not("redis://h/one").find("'one'"), std::string::npos);
    EXPECT_NE(why_not("redis://h/1/2").find("'1/2'"), std::string::npos);
    EXPECT_NE(why_not("redis://h/-1").find("'-1'"), std::string::npos);
    EXPECT_NE(why_not("redis://h?db=x").find("'x'"), std::string::npos);
    EXPECT_NE(why_not("redis://h?timeout=1").find("'timeout'"), std::string::npos);
    EXPECT_NE(why_not("unix://host/run/r.sock").find("no host"), std::string::npos);
    EXPECT_NE(why_not("unix://").find("path"), std::string::npos);
    EXPECT_NE(why_not("unix:///" + std::string(200, 'x')).find("107"), std::string::npos);
}

TEST(redis_url, never_repeats_a_password) {
    for (auto const* url : {"redis://user:hunter2@h:x", "http://user:hunter2@h", "redis://user:hunter2@h/db"})
        EXPECT_EQ(why_not(url).find("hunter2"), std::string::npos) << url;
    EXPECT_EQ(parse("redis://user:hunter2@h").display(), "redis://h:6379/0");
    EXPECT_EQ(parse("unix://user:hunter2@/r.sock").display(), "unix:///r.sock");
}

TEST(redis_url, the_environment_speaks_where_the_caller_is_silent) {
    environment const url("REDIS_URL", "redis://from-environment:1234/1");
    environment const password("REDIS_PASSWORD", "from-environment");
    error_code ec;
    auto const silent = redis::address_from_environment("", ec);
    EXPECT_EQ(silent.host, "from-environment");
    EXPECT_EQ(silent.password, "from-environment");
    auto const spoken = redis::address_from_environment("redis://:mine@here", ec);
    EXPECT_EQ(spoken.host, "here");
    EXPECT_EQ(spoken.password, "mine");
}

TEST(redis_url, without_environment_it_is_the_local_server) {
    environment const url("REDIS_URL", nullptr);
    environment const password("REDIS_PASSWORD", nullptr);
    error_code ec;
    auto const local = redis::address_from_environment("", ec);
    EXPECT_FALSE(ec);
    EXPECT_EQ(local.display(), "redis://127.0.0.1:6379/0");
    EXPECT_EQ(local.password, "");
}

} // namespace
