#pragma once

#include <weir/rate_limit/decision.hpp>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <nlohmann/json.hpp>

#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

/// What stands under /v1/ on the admin side.
namespace weir::admin {

namespace asio = boost::asio;
using json = nlohmann::ordered_json;

/// A request to the API, taken apart.
struct api_request {
    /// "GET" (HEAD counts as such) or "POST".
    std::string method;
    /// The segments of the path behind /v1/, percent-decoded, the name of the resource first.
    std::vector<std::string> path;
    /// The parameters of the query, decoded, in the order written.
    std::vector<std::pair<std::string, std::string>> query;
    std::string body;

    /// The value of a parameter of the query, or nothing.
    std::optional<std::string_view> parameter(std::string_view name) const noexcept;
};

/// A 200 with a document, or a refusal that says why.
struct api_answer {
    unsigned status = 200;
    json body = {};
    /// Of a refusal, for problem+json.
    std::string detail = {};
};

/// How a wait is told: null where it never ends.
inline json milliseconds_of(std::chrono::milliseconds time) { return time == never ? json() : json(time.count()); }

inline api_answer refused(unsigned status, std::string detail) { return {status, {}, std::move(detail)}; }

/// One resource: /v1/NAME and what is under it.
struct api_resource {
    std::string name;
    /// Asked for what to answer where the method is none of these: 405.
    std::vector<std::string> methods;
    /// Runs on the server's thread; what it throws is answered with 500.
    std::function<asio::awaitable<api_answer>(api_request const&)> answer;
};

/// Takes a request target behind /v1/ apart; nothing where it is no valid one.
std::optional<api_request> parse_api_target(std::string_view target);

/// A number in a parameter of the query, `otherwise` where it is not there, at most `most`; nothing where it is none.
std::optional<std::size_t> number_parameter(api_request const& asked, std::string_view name, std::size_t otherwise,
                                            std::size_t most);

} // namespace weir::admin
