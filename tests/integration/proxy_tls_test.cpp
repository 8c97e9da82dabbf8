#include "support/certificates.hpp"
#include "support/running_proxy.hpp"
#include "support/tls_client.hpp"
#include "support/upstream.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

// TLS in front of the proxy and behind it.

namespace weir::test {
namespace {

using testing::HasSubstr;

class proxy_tls : public testing::Test {
protected:
    static certificates const& files() {
        static certificates const made;
        return made;
    }

    /// With that certificate in front.
    static config::config secured(config::config c, std::vector<std::string> const& names = {"server"}) {
        auto& tls = c.listen.front().tls.emplace();
        for (auto const& name : names)
            tls.certificates.push_back({files().certificate(name), files().key(name)});
        return c;
    }

    static tls_client connect(running_proxy const& proxy, std::string const& name = "localhost") {
        return {proxy.endpoint(), files().ca(), name};
    }

    /// To a proxy that speaks TLS, as its upstream.
    static config::config leads_to(running_proxy const& secure) {
        auto c = proxy_config(secure.endpoint().port());
        c.upstreams.front().targets.front().host = "localhost";
        c.upstreams.front().targets.front().tls = true;
        c.upstreams.front().tls.ca_file = files().ca();
        return c;
    }
};

TEST_F(proxy_tls, clients_are_served_and_the_upstream_is_told) {
    upstream up(upstream::echo());
    running_proxy const proxy(secured(proxy_config(up.port())));
    auto client = connect(proxy);
    for (int i = 0; i < 3; ++i) {
        auto const answer = client.get("/a");
        EXPECT_EQ(answer.status, 200);
        EXPECT_THAT(answer.body, HasSubstr("\r\nX-Forwarded-Proto: https\r\n"));
        EXPECT_THAT(answer.body, HasSubstr(";proto=https\r\n"));
    }
}

TEST_F(proxy_tls, large_bodies_pass_both_ways_unchanged) {
    upstream up([](upstream::connection& c) {
        for (;;)
            c.respond(c.read().body);
    });
    running_proxy const inner(secured(proxy_config(up.port())));
    running_proxy const outer(secured(leads_to(inner)));
    std::string body(9'000'000, '\0');
    for (std::size_t i = 0; i < body.size(); ++i)
        body[i] = static_cast<char>('a' + i * i % 26);
    auto client = connect(outer);
    for (int i = 0; i < 2; ++i) {
        auto const answer = client.exchange(
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body);
        EXPECT_EQ(answer.status, 200);
        EXPECT_TRUE(answer.body == body);
    }
}

TEST_F(proxy_tls, the_name_asked_for_chooses_the_certificate) {
    upstream up(upstream::always("hello"));
    running_proxy const proxy(secured(proxy_config(up.port()), {"server", "elsewhere"}));
    EXPECT_EQ(connect(proxy, "elsewhere.example").common_name(), "elsewhere");
    EXPECT_EQ(connect(proxy, "localhost").common_name(), "server");
    EXPECT_EQ(connect(proxy, "elsewhere.example").get("/").body, "hello");
}

TEST_F(proxy_tls, who_does_not_speak_it_is_let_go) {
    upstream up(upstream::always("hello"));
    running_proxy const proxy(secured(proxy_config(up.port())));
    http_client plain(proxy.endpoint());
    plain.send("GET / HTTP/1.1\r\nHost: weir.test\r\n\r\n");
    EXPECT_THAT(plain.read_to_end(), testing::Not(HasSubstr("HTTP/1.1")));
    EXPECT_EQ(connect(proxy).get("/").body, "hello");
}

TEST_F(proxy_tls, an_answer_that_was_cut_off_has_no_clean_end) {
    upstream up([](upstream::connection& c) {
        c.read();
        c.write("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nbegin");
        c.reset();
    });
    running_proxy const proxy(secured(proxy_config(up.port())));
    auto client = connect(proxy);
    client.send("GET / HTTP/1.1\r\nHost: weir.test\r\n\r\n");
    bool clean = true;
    EXPECT_THAT(client.read_to_end(clean), HasSubstr("begin"));
    EXPECT_FALSE(clean);
}

TEST_F(proxy_tls, the_end_of_a_connection_is_said) {
    upstream up(upstream::always("hello"));
    running_proxy const proxy(secured(proxy_config(up.port())));
    auto client = connect(proxy);
    client.send("GET / HTTP/1.1\r\nHost: weir.test\r\nConnection: close\r\n\r\n");
    bool clean = false;
    EXPECT_THAT(client.read_to_end(clean), HasSubstr("hello"));
    EXPECT_TRUE(clean);
}

TEST_F(proxy_tls, upstreams_are_verified) {
    upstream up(upstream::always("hello"));
    running_proxy const secure(secured(proxy_config(up.port())));
    {
        running_proxy const proxy(leads_to(secure));
        auto client = proxy.connect();
        EXPECT_EQ(client.get("/").body, "hello");
        EXPECT_EQ(client.get("/").body, "hello");
    }
    auto stranger = leads_to(secure);
    stranger.upstreams.front().tls.ca_file = files().other_ca();
    {
        running_proxy const proxy(stranger);
        auto const refused = proxy.connect().get("/");
        EXPECT_EQ(refused.status, 502);
        EXPECT_THAT(refused.body, HasSubstr("TLS with the upstream failed: its certificate: "));
        EXPECT_EQ(proxy.server.counters()->worker(0).upstreams[0].errors[metrics::upstream_error::tls].value(), 1u);
    }
    stranger.upstreams.front().tls = {};
    stranger.upstreams.front().tls.verify = false;
    EXPECT_EQ(running_proxy(stranger).connect().get("/").body, "hello");
    auto misnamed = leads_to(secure);
    misnamed.upstreams.front().tls.server_name = "elsewhere.example";
    EXPECT_EQ(running_proxy(misnamed).connect().get("/").status, 502);
}

TEST_F(proxy_tls, an_expired_certificate_is_not_believed) {
    upstream up(upstream::always("hello"));
    running_proxy const secure(secured(proxy_config(up.port()), {"expired"}));
    running_proxy const proxy(leads_to(secure));
    EXPECT_THAT(proxy.connect().get("/").body, HasSubstr("expired"));
}

TEST_F(proxy_tls, certificates_are_read_again_with_the_configuration) {
    temporary_directory const here;
    auto const copy = [&](std::string const& name) {
        auto const how = std::filesystem::copy_options::overwrite_existing;
        std::filesystem::copy_file(files().certificate(name), here.path() + "/c.pem", how);
        std::filesystem::copy_file(files().key(name), here.path() + "/k.pem", how);
    };
    copy("server");
    upstream up(upstream::always("hello"));
    auto c = proxy_config(up.port());
    c.listen.front().tls.emplace().certificates.push_back({here.path() + "/c.pem", here.path() + "/k.pem"});
    running_proxy proxy(c);
    auto client = connect(proxy);
    copy("elsewhere");
    ASSERT_TRUE(proxy.server.reload(proxy.server.config()).empty());
    std::string name;
    for (int i = 0; i < 10'000 && name != "elsewhere"; ++i)
        try {
            name = connect(proxy, "elsewhere.example").common_name();
        } catch (boost::system::system_error const&) { // the old one, which does not bear that name
        }
    EXPECT_EQ(name, "elsewhere");
    EXPECT_EQ(client.get("/").body, "hello") << "who is connected stays so";
    std::filesystem::remove(here.path() + "/k.pem");
    auto const wrong = proxy.server.reload(proxy.server.config());
    ASSERT_EQ(wrong.size(), 1u);
    EXPECT_EQ(wrong[0].pointer, "/listen/0/tls");
    EXPECT_THAT(wrong[0].message, HasSubstr("k.pem"));
    EXPECT_EQ(connect(proxy, "elsewhere.example").get("/").body, "hello");
}

TEST_F(proxy_tls, a_certificate_that_cannot_be_used_ends_the_start_by_name) {
    auto c = secured(proxy_config(1));
    c.listen.front().tls->certificates.front().key = files().key("elsewhere");
    try {
        running_proxy const proxy(c);
        FAIL() << "it started";
    } catch (proxy::start_error const& e) {
        EXPECT_THAT(e.what(), HasSubstr("/listen/0/tls: the key " + files().key("elsewhere")));
    }
}

} // namespace
} // namespace weir::test
