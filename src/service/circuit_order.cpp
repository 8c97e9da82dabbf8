#include "service/circuit_order.hpp"

#include "config/values.hpp"
#include "service/order_body.hpp"

#include <algorithm>
#include <array>
#include <utility>

namespace weir::service {
namespace {

using circuit::outcome;
using nlohmann::json;

constexpr std::array<std::pair<std::string_view, outcome>, 4> outcomes{{
    {"success", outcome::success},
    {"failure", outcome::failure},
    {"local_failure", outcome::local_failure},
    {"ignored", outcome::ignored},
}};

void read_permit(order_body& body, json const& value, permit_seal const& seal, issued_permit& into) {
    auto const found = value.is_string() ? seal.read(value.get_ref<std::string const&>()) : std::nullopt;
    if (!found)
        return body.complain("permit", "must be the text that came with the permit of this circuit, unchanged");
    into = *found;
}

void read_outcome(order_body& body, json const& value, outcome& into) {
    auto const* const word = value.is_string() ? &value.get_ref<std::string const&>() : nullptr;
    auto const found = std::find_if(outcomes.begin(), outcomes.end(),
                                    [&](auto const& each) { return word != nullptr && each.first == *word; });
    if (found == outcomes.end())
        return body.complain("outcome", R"(must be "success", "failure", "local_failure" or "ignored")");
    into = found->second;
}

void read_error(order_body& body, json const& value, std::string& into) {
    if (!value.is_string())
        return body.complain("error", "must be a text");
    into = value.get<std::string>();
    // It is shown to operators, on a line of its own.
    std::replace_if(
        into.begin(), into.end(), [](unsigned char c) { return c < ' ' || c == 127; }, ' ');
}

} // namespace

circuit_result read_circuit_result(std::string_view text, permit_seal const& seal, std::vector<body_issue>& issues) {
    circuit_result made;
    order_body body(text, issues);
    if (!body)
        return made;
    for (auto const& [name, value] : body.members().items())
        if (name == "permit")
            read_permit(body, value, seal, made.of);
        else if (name == "outcome")
            read_outcome(body, value, made.what);
        else if (name == "duration_ms")
            body.read_time(name, value, made.took.emplace(), 0, longest_call.count());
        else if (name == "error")
            read_error(body, value, made.error);
        else
            body.complain(name,
                          "unknown member" + config::suggest_name(name, {"permit", "outcome", "duration_ms", "error"}));
    body.demand("permit");
    body.demand("outcome");
    return made;
}

void read_permit_order(std::string_view text, std::vector<body_issue>& issues) {
    order_body body(text, issues);
    if (!body)
        return;
    for (auto const& [name, value] : body.members().items())
        body.complain(name, "unknown member: a permit takes none, send {}");
}

} // namespace weir::service
