#include "service/lock_order.hpp"

#include "config/json_tree.hpp"
#include "config/values.hpp"

#include <boost/url/pct_string_view.hpp>
#include <nlohmann/json.hpp>

#include <algorithm>

namespace weir::service {
namespace {

using json = nlohmann::json;
using what = lock_order::what;

constexpr std::int64_t least_ttl = 10;
constexpr std::int64_t longest_ttl = 86'400'000;

/// Whether it has no control characters; UTF-8 is as good as any.
bool is_plain(std::string_view text) noexcept {
    return std::all_of(text.begin(), text.end(), [](unsigned char c) { return c >= ' ' && c != 127; });
}

class order_reader {
public:
    order_reader(json const& body, std::vector<body_issue>& issues)
        : body_(body)
        , issues_(issues) {}

    lock_order read() {
        lock_order made;
        if (!read_action(made.action))
            return made;
        bool const takes = made.action == what::acquire;
        for (auto const& [name, value] : body_.items())
            if (name == "action")
                continue;
            else if (takes && name == "ttl_ms")
                read_time(name, value, made.ttl, least_ttl, longest_ttl);
            else if (takes && name == "wait_ms")
                read_time(name, value, made.wait, 0, longest_lock_wait.count());
            else if (takes && name == "who")
                read_who(value, made.who);
            else if (!takes && name == "lease")
                read_lease(value, made.held);
            else
                complain(name,
                         "unknown member" + (takes ? config::suggest_name(name, {"action", "ttl_ms", "wait_ms", "who"})
                                                   : config::suggest_name(name, {"action", "lease"})));
        if (!takes && !body_.contains("lease"))
            complain({}, "the member \"lease\" is missing");
        return made;
    }

private:
    void complain(std::string const& member, std::string detail) {
        issues_.push_back({member.empty() ? std::string() : config::pointer_step(member), std::move(detail)});
    }

    bool read_action(what& into) {
        if (!body_.is_object()) {
            complain({}, "must be an object");
            return false;
        }
        auto const found = body_.find("action");
        if (found == body_.end()) {
            complain({}, "the member \"action\" is missing");
            return false;
        }
        auto const word = found->is_string() ? found->get<std::string>() : std::string();
        if (word == "acquire")
            into = what::acquire;
        else if (word == "extend")
            into = what::extend;
        else if (word == "release")
            into = what::release;
        else
            complain("action", R"(must be "acquire", "extend" or "release")");
        return issues_.empty();
    }

    void read_time(std::string const& name, json const& value, std::chrono::milliseconds& into, std::int64_t least,
                   std::int64_t most) {
        bool const whole = value.is_number_integer() &&
                           (value.is_number_unsigned() ? value.get<std::uint64_t>() <= std::uint64_t(most) : true);
        auto const number = whole ? value.get<std::int64_t>() : -1;
        if (!whole || number < least || number > most)
            return complain(name,
                            "must be a whole number from " + std::to_string(least) + " to " + std::to_string(most));
        into = std::chrono::milliseconds{number};
    }

    void read_who(json const& value, std::string& into) {
        auto const text = value.is_string() ? value.get<std::string>() : std::string();
        if (text.empty() || text.size() > lock::max_who || !is_plain(text))
            return complain("who", "must be a text of 1 to " + std::to_string(lock::max_who) +
                                       " bytes without control characters");
        into = text;
    }

    void read_lease(json const& value, lock::holding& into) {
        auto const found = value.is_string() ? lock::read_holding(value.get<std::string>()) : std::nullopt;
        if (!found)
            return complain("lease", "must be the text that came with the lock");
        into = *found;
    }

    json const& body_;
    std::vector<body_issue>& issues_;
};

} // namespace

lock_order read_lock_order(std::string_view text, std::vector<body_issue>& issues) {
    auto const body = json::parse(text, nullptr, false);
    if (body.is_discarded()) {
        issues.push_back({{}, "not JSON"});
        return {};
    }
    return order_reader(body, issues).read();
}

std::optional<std::string> read_lock_name(std::string_view path) {
    auto const encoded = boost::urls::make_pct_string_view({path.data(), path.size()});
    if (!encoded)
        return std::nullopt;
    std::string name = encoded->decode();
    if (name.empty() || name.size() > max_name || !is_plain(name))
        return std::nullopt;
    return name;
}

} // namespace weir::service
