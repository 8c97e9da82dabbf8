#include "service/service_connection.hpp"

#include "config/values.hpp"
#include "proxy/bearer.hpp"
#include "proxy/collect_body.hpp"
#include "service/circuit_desk.hpp"
#include "service/lock_desk.hpp"
#include "service/openapi.hpp"
#include "service/original_request.hpp"
#include "service/resource_name.hpp"

#include <weir/http/detail/media_type.hpp>

namespace weir::service {
namespace {

using boost::beast::http::verb;
using beast_field = boost::beast::http::field;
using proxy::awaitable;
using proxy::connection;

constexpr std::string_view not_known =
    "known here: /authorize, /v1/check, /v1/reserve, /v1/extend, /v1/settle, /v1/locks/NAME, "
    "/v1/circuits/NAME/permit, /v1/circuits/NAME/result, /openapi.json";
constexpr std::string_view locks_path = "/v1/locks/";
constexpr std::string_view circuits_path = "/v1/circuits/";
constexpr std::string_view permit_action = "/permit";
constexpr std::string_view result_action = "/result";
constexpr std::string_view not_trusted =
    "what this peer says of the original request is not believed: it is not in trusted_proxies";

} // namespace

awaitable<bool> service_connection::serve() {
    auto const target = path_of(exchange_->request.target);
    auto const path = target.substr(0, target.find('?'));
    if (path == authorize_path)
        co_return co_await authorize(target.substr(path.size()));
    if (path.starts_with(authorize_path) && path[authorize_path.size()] == '/')
        co_return co_await authorize({}); // a query is the original request's
    if (path == "/v1/check")
        co_return co_await check(question::check);
    if (path == "/v1/reserve")
        co_return co_await check(question::reserve);
    if (path == "/v1/extend")
        co_return co_await check(question::extend);
    if (path == "/v1/settle")
        co_return co_await check(question::settle);
    if (path.starts_with(locks_path))
        co_return co_await lock(path.substr(locks_path.size()));
    if (path.starts_with(circuits_path))
        co_return co_await circuit(path.substr(circuits_path.size()));
    if (path == "/openapi.json")
        co_return co_await describe();
    bool const keep = co_await skip_body();
    co_return co_await refuse({404, not_known}, keep);
}

awaitable<bool> service_connection::authorize(std::string_view query) {
    auto& x = *exchange_;
    bool const keep = co_await skip_body();
    bool const known = query.empty() || query == "?refusal=403";
    verdict why = known ? find_route() : verdict{400, "the one query known here is refusal=403"};
    if (why.status == 0 &&
        (!identify() || (services_->admission && !co_await services_->admission->decide(x, client_address_, false))))
        why.status = x.status;
    if (why.status == 0)
        co_return co_await answer({}, {}, keep);
    if (known && !query.empty())
        why.sent_as = 403;
    co_return co_await refuse(why, keep);
}

/// What is refused here is 403, whatever the proxy would say: 404 and 405 would speak of the decision service.
connection::verdict service_connection::find_route() {
    auto& x = *exchange_;
    if (!client_address_.peer_trusted)
        return {403, not_trusted};
    auto const original = find_original(x.request);
    if (!original.error.empty())
        return {400, original.error};
    x.request.method = original.method; // of what is logged, too
    http::refusal why;
    if (!http::canonicalize(original.target, x.target, why))
        return {403, why.reason};
    if (original.method == "CONNECT" || original.method == "TRACE")
        return {403, "no route takes this method"};
    auto const found = services_->routes.find(x.target.key, original.method);
    x.route = found.route;
    if (found.route != proxy::router::none)
        return {};
    return {403, found.path_known ? "no route takes this method here" : "no route takes this path"};
}

connection::verdict service_connection::admit_post() const {
    auto const& request = exchange_->request;
    if (request.verb != verb::post)
        return {405, "send it with POST", "POST"};
    if (!proxy::bears_token(request.find(beast_field::authorization), services_->config.decision->token))
        return {401,
                "send Authorization: Bearer with the token of the decision service",
                {},
                {},
                "WWW-Authenticate: Bearer\r\n"};
    if (!http::detail::is_json(request.find(beast_field::content_type)))
        return {415, "the body must be application/json"};
    if (!request.find(beast_field::content_encoding).empty())
        return {415, "the body must come without a content coding"};
    return {};
}

awaitable<bool> service_connection::check(question what) {
    auto& x = *exchange_;
    std::string_view body;
    bool keep = false;
    if (!co_await take_body(admit_post(), body, keep))
        co_return keep;
    if (!checks_)
        checks_ = std::make_unique<planned_checks>();
    if (!checks_->read(body, what, services_->config, services_->ids))
        co_return co_await refuse_body(checks_->issues());
    auto const asked = boot_clock::now();
    co_await checks_->async_ask(services_->admission->rules(), proxy::use_result);
    x.admission_time = boot_clock::now() - asked;
    services_->counts.admission.observe(x.admission_time);
    checks_->count(*services_->admission);
    checks_->remember(services_->known.refusals, x, client_address_.key.empty() ? peer_text_ : client_address_.key);
    if (auto const status = checks_->failure(); status != 0) {
        x.detail = checks_->checks().front().error.message();
        if (status == 503)
            x.limit_fields = "Retry-After: 1\r\n";
        co_return co_await refuse({status}, x.keep_alive);
    }
    std::string text;
    checks_->append_answer(text);
    co_return co_await answer("application/json", text, x.keep_alive);
}

awaitable<connection::verdict> service_connection::read_body(std::string_view& body) {
    auto& x = *exchange_;
    proxy::body_reader reader;
    reader.start(x.request.framing, x.request.content_length);
    if (x.request.framing == http::body_framing::length && x.request.content_length > proxy::buffer_pool::block_size)
        co_return verdict{413, "the body is over the limit of 64 KiB"};
    auto const at_hand = client_.in.view().size() - x.used;
    auto const piece = reader.take(client_.in.data() + x.used, at_hand);
    x.used += piece.consumed;
    x.bytes_in += piece.data.size();
    if (piece.why.status != 0)
        co_return verdict{piece.why.status, piece.why.reason};
    body = piece.data;
    if (reader.finished())
        co_return verdict{};
    if (at_hand == 0 && !co_await proxy::invite_body(client_, x.request))
        co_return verdict{proxy::client_closed};
    http::refusal why;
    switch (co_await proxy::collect_rest(client_, x, services_->blocks, reader, services_->config.http.body_timeout,
                                         body, why)) {
    case proxy::collect_end::complete:
        co_return verdict{};
    case proxy::collect_end::too_large:
        co_return verdict{413, "the body is over the limit of 64 KiB"};
    case proxy::collect_end::too_slow:
        co_return verdict{408, "the body came too slowly"};
    case proxy::collect_end::malformed:
        co_return verdict{why.status, why.reason};
    case proxy::collect_end::gone:
        break;
    }
    co_return verdict{proxy::client_closed};
}

/// Whether the body is there; else the request is refused, for `why` or what is wrong with it, and `keep` says whether
/// the connection goes on.
awaitable<bool> service_connection::take_body(verdict why, std::string_view& body, bool& keep) {
    if (why.status != 0) {
        bool const skipped = co_await skip_body();
        keep = co_await refuse(why, skipped);
        co_return false;
    }
    why = co_await read_body(body);
    if (why.status != 0)
        keep = co_await refuse_unread(why);
    co_return why.status == 0;
}

/// The body was not read to its end.
awaitable<bool> service_connection::refuse_unread(verdict why) {
    if (why.status == proxy::client_closed) {
        exchange_->status = why.status;
        co_return false;
    }
    unread_ = true;
    co_return co_await refuse(why, false);
}

awaitable<bool> service_connection::refuse_body(std::vector<body_issue> const& issues) {
    std::vector<http::problem_error> errors;
    errors.reserve(issues.size());
    for (auto const& each : issues)
        errors.push_back({each.pointer, each.detail});
    auto const& first = issues.front();
    exchange_->detail = first.pointer.empty() ? "the body: " + first.detail : first.pointer + ": " + first.detail;
    verdict why{400};
    why.errors = errors;
    co_return co_await refuse(why, exchange_->keep_alive);
}

awaitable<bool> service_connection::lock(std::string_view encoded) {
    auto& x = *exchange_;
    auto const name = read_resource_name(encoded);
    auto why = admit_post();
    if (why.status == 0 && !name)
        why = {404, "a lock has a name: /v1/locks/NAME, of printable text, percent-encoded"};
    if (why.status == 0 && services_->locks == nullptr)
        why = {503, "nothing of this configuration is kept in Redis, so that there are no locks"};
    std::string_view body;
    bool keep = false;
    if (!co_await take_body(why, body, keep))
        co_return keep;
    std::vector<body_issue> issues;
    auto order = read_lock_order(body, issues);
    if (!issues.empty())
        co_return co_await refuse_body(issues);
    std::string text;
    lock_desk desk(*services_->locks, client_);
    auto const ec = co_await desk.run(*name, std::move(order), text);
    if (client_.gone()) {
        x.status = proxy::client_closed;
        co_return false;
    }
    if (ec) {
        x.detail = "the lock cannot be asked for at the moment: " + ec.message();
        x.limit_fields = "Retry-After: 1\r\n";
        co_return co_await refuse({503}, x.keep_alive);
    }
    co_return co_await answer("application/json", text, x.keep_alive);
}

awaitable<bool> service_connection::circuit(std::string_view name_and_action) {
    auto& x = *exchange_;
    bool const asks = name_and_action.ends_with(permit_action);
    auto why = admit_post();
    std::size_t index = 0;
    if (why.status == 0 && !asks && !name_and_action.ends_with(result_action))
        why = {404, not_known};
    static_assert(permit_action.size() == result_action.size());
    if (why.status == 0)
        why = find_circuit(name_and_action.substr(0, name_and_action.size() - permit_action.size()), index);
    std::string_view body;
    bool keep = false;
    if (!co_await take_body(why, body, keep))
        co_return keep;
    permit_seal const seal(services_->whole->circuits.all[index].name, services_->config.decision->token);
    circuit_desk desk(services_->circuits[index], seal);
    std::vector<body_issue> issues;
    std::string text;
    if (asks) {
        read_permit_order(body, issues);
        if (issues.empty())
            co_await desk.permit(client_, services_->ids, text, x.limit_fields);
    } else if (auto const said = read_circuit_result(body, seal, issues); issues.empty()) {
        text = desk.result(said, *services_->used_permits);
    }
    if (!issues.empty())
        co_return co_await refuse_body(issues);
    if (client_.gone()) {
        x.status = proxy::client_closed;
        co_return false;
    }
    co_return co_await answer("application/json", text, x.keep_alive);
}

connection::verdict service_connection::find_circuit(std::string_view encoded, std::size_t& index) {
    auto const& plan = services_->whole->circuits;
    auto const name = read_resource_name(encoded);
    if (!name)
        return {404, "a circuit has a name: /v1/circuits/NAME/permit, percent-encoded"};
    if (auto const found = plan.find(*name)) {
        index = *found;
        return {};
    }
    std::vector<std::string_view> known;
    for (auto const& each : plan.all)
        known.push_back(each.name);
    exchange_->detail = "the configuration has no circuit that is called \"" + *name + '"' +
                        (known.empty() ? ": put it into \"circuits\"" : config::suggest_name(*name, known));
    return {404};
}

awaitable<bool> service_connection::describe() {
    auto const method = exchange_->request.verb;
    bool const keep = co_await skip_body();
    if (method != verb::get && method != verb::head)
        co_return co_await refuse({405, "send it with GET", "GET, HEAD"}, keep);
    co_return co_await answer("application/json", openapi_document, keep);
}

awaitable<bool> service_connection::answer(std::string_view content_type, std::string_view body, bool keep_alive) {
    auto head = begin_answer(200, keep_alive);
    head.content_type = content_type;
    proxy::write_answer(exchange_->reply, head, body);
    co_return co_await send_reply();
}

} // namespace weir::service
