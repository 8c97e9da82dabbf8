#include "service/original_request.hpp"

#include <gmock/gmock.h>

namespace {

using namespace weir;
using service::find_original;
using service::original_request;
using testing::HasSubstr;

/// What is found in a request with that line and those field lines.
struct found {
    found(std::string_view line, std::string_view fields)
        : text(std::string(line) + " HTTP/1.1\r\nHost: weir\r\n" + std::string(fields) + "\r\n") {
        auto const parsed = http::parse_request_head(text, {}, head);
        EXPECT_EQ(parsed.state, http::parse_state::complete) << text;
        what = find_original(head);
    }
    std::string text;
    http::request_head head;
    original_request what;
};

TEST(service_original_request, is_named_by_the_fields_of_nginx_traefik_and_ingress_nginx) {
    for (auto const* fields : {"X-Original-Method: POST\r\nX-Original-URI: /v1/chat?a=1\r\n",
                               "X-Forwarded-Method: POST\r\nX-Forwarded-Uri: /v1/chat?a=1\r\n",
                               "x-original-url: /v1/chat?a=1\r\nx-original-method: POST\r\n"}) {
        found const f("GET /authorize", fields);
        EXPECT_EQ(f.what.error, "") << fields;
        EXPECT_EQ(f.what.method, "POST");
        EXPECT_EQ(f.what.target, "/v1/chat?a=1");
    }
    found const absolute("GET /authorize?x", "X-Original-URL: https://api.example/v1\r\nX-Original-Method: GET\r\n");
    EXPECT_EQ(absolute.what.target, "https://api.example/v1"); // canonicalize() takes both forms
}

TEST(service_original_request, stands_behind_authorize_for_envoy_whatever_the_fields_say) {
    found const f("DELETE /authorize/v1/chat?a=1", "X-Original-URI: /cheap\r\nX-Original-Method: GET\r\n");
    EXPECT_EQ(f.what.error, "");
    EXPECT_EQ(f.what.method, "DELETE");
    EXPECT_EQ(f.what.target, "/v1/chat?a=1");
    EXPECT_EQ(found("GET /authorize/", "").what.target, "/");
    EXPECT_EQ(found("GET http://weir/authorize/v1", "").what.target, "/v1");
}

TEST(service_original_request, is_not_found_where_nothing_names_it) {
    EXPECT_THAT(found("GET /authorize", "").what.error, HasSubstr("X-Original-URI"));
    EXPECT_THAT(found("GET /authorize", "X-Original-Method: GET\r\n").what.error, HasSubstr("X-Original-URI"));
    EXPECT_THAT(found("GET /authorize", "X-Original-URI: /\r\n").what.error, HasSubstr("X-Original-Method"));
    EXPECT_THAT(found("GET /authorize", "X-Original-URI: /\r\nX-Original-Method: G ET\r\n").what.error,
                HasSubstr("method is none"));
    EXPECT_THAT(found("GET /authorize", "X-Original-URI: /\r\nX-Original-Method:\r\n").what.error,
                HasSubstr("method is none"));
}

TEST(service_original_request, is_not_chosen_by_a_field_that_the_client_added) {
    std::string const nginx = "X-Original-Method: POST\r\nX-Original-URI: /v1/chat\r\n";
    for (auto const* added : {"X-Forwarded-Uri: /cheap\r\n", "X-Original-URL: https://a/cheap\r\n",
                              "X-Original-URI: /cheap\r\n", "X-Forwarded-Uri: \r\n"}) {
        EXPECT_THAT(found("GET /authorize", nginx + added).what.error, HasSubstr("different original targets"))
            << added;
        EXPECT_THAT(found("GET /authorize", added + nginx).what.error, HasSubstr("different original targets"))
            << added;
    }
    EXPECT_THAT(found("GET /authorize", nginx + "X-Forwarded-Method: GET\r\n").what.error,
                HasSubstr("different original methods"));
    // The same said twice is no contradiction.
    EXPECT_EQ(found("GET /authorize", nginx + "X-Original-URL: http://api.example/v1/chat\r\n").what.error, "");
}

} // namespace
