#include "service/lock_order.hpp"

#include "config/values.hpp"
#include "service/order_body.hpp"
#include "service/resource_name.hpp"

namespace weir::service {
namespace {

using json = nlohmann::json;
using what = lock_order::what;

constexpr std::int64_t least_ttl = 10;
constexpr std::int64_t longest_ttl = 86'400'000;

class order_reader {
public:
    explicit order_reader(order_body& body)
        : body_(body) {}

    lock_order read() {
        lock_order made;
        if (!read_action(made.action))
            return made;
        bool const takes = made.action == what::acquire;
        for (auto const& [name, value] : body_.members().items())
            if (name == "action")
                continue;
            else if (takes && name == "ttl_ms")
                body_.read_time(name, value, made.ttl, least_ttl, longest_ttl);
            else if (takes && name == "wait_ms")
                body_.read_time(name, value, made.wait, 0, longest_lock_wait.count());
            else if (takes && name == "who")
                read_who(value, made.who);
            else if (!takes && name == "lease")
                read_lease(value, made.held);
            else
                body_.complain(name, "unknown member" +
                                         (takes ? config::suggest_name(name, {"action", "ttl_ms", "wait_ms", "who"})
                                                : config::suggest_name(name, {"action", "lease"})));
        if (!takes)
            body_.demand("lease");
        return made;
    }

private:
    bool read_action(what& into) {
        auto const* const found = body_ ? body_.demand("action") : nullptr;
        if (found == nullptr)
            return false;
        auto const word = found->is_string() ? found->get<std::string>() : std::string();
        if (word == "acquire")
            into = what::acquire;
        else if (word == "extend")
            into = what::extend;
        else if (word == "release")
            into = what::release;
        else
            body_.complain("action", R"(must be "acquire", "extend" or "release")");
        return body_.well();
    }

    void read_who(json const& value, std::string& into) {
        auto const text = value.is_string() ? value.get<std::string>() : std::string();
        if (text.empty() || text.size() > lock::max_who || !is_plain(text))
            return body_.complain("who", "must be a text of 1 to " + std::to_string(lock::max_who) +
                                             " bytes without control characters");
        into = text;
    }

    void read_lease(json const& value, lock::holding& into) {
        auto const found = value.is_string() ? lock::read_holding(value.get<std::string>()) : std::nullopt;
        if (!found)
            return body_.complain("lease", "must be the text that came with the lock");
        into = *found;
    }

    order_body& body_;
};

} // namespace

lock_order read_lock_order(std::string_view text, std::vector<body_issue>& issues) {
    order_body body(text, issues);
    return order_reader(body).read();
}

} // namespace weir::service
