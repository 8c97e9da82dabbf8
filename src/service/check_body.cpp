#include "service/check_body.hpp"

#include "config/json_tree.hpp"
#include "config/values.hpp"

#include <weir/rate_limit/rule.hpp>

#include <nlohmann/json.hpp>

#include <array>
#include <cmath>

namespace weir::service {
namespace {

using json = nlohmann::json;

constexpr std::size_t max_issues = 16;
constexpr std::size_t no_member = ~std::size_t{0};

constexpr unsigned bit(question what) noexcept { return 1U << static_cast<unsigned>(what); }
constexpr unsigned always = ~0U;
constexpr unsigned later = bit(question::extend) | bit(question::settle);

/// The members of a check.
struct member {
    std::string_view name;
    std::string_view expected;
    /// By question: where it must be.
    unsigned required;
    /// One of the two.
    std::string check_item::*text;
    std::optional<std::uint64_t> check_item::*number;
    std::uint64_t least = 0;
    std::uint64_t most = 0;
};
constexpr std::array members{
    member{"user", "a string", always, &check_item::user, nullptr},
    member{"endpoint", "a string", always, &check_item::endpoint, nullptr},
    member{"rule", "the name of a limit", 0, &check_item::rule, nullptr},
    member{"cost", "a whole number from 0 to 9007199254740992", 0, nullptr, &check_item::cost, 0, max_cost},
    member{"request_id", "a string", later, &check_item::request_id, nullptr},
    member{"keep_ms", "a whole number from 1000 to 31622400000", 0, nullptr, &check_item::keep_ms, 1000,
           static_cast<std::uint64_t>(max_window.count())},
};
static_assert(max_cost == 9007199254740992 && max_window.count() == 31622400000);

/// Fills checks from the events of the parser, holding nothing else; what has no place is passed over.
class check_reader final : public json::json_sax_t {
public:
    check_reader(question what, check_body& out, std::vector<body_issue>& issues)
        : what_(what)
        , out_(out)
        , issues_(issues) {
        out.array = false;
        out.items.clear();
    }

    bool start_object(std::size_t) override {
        if (skipped_ != 0)
            return ++skipped_ != 0;
        if (at_ == place::root || at_ == place::array) {
            if (out_.items.size() == max_checks) {
                complain({}, "at most " + std::to_string(max_checks) + " checks in one body");
                return false;
            }
            out_.items.emplace_back();
            seen_ = 0;
            at_ = place::item;
            return true;
        }
        return wrong_type("an object") && ++skipped_ != 0;
    }
    bool end_object() override {
        if (skipped_ != 0) {
            --skipped_;
            return true;
        }
        at_ = out_.array ? place::array : place::end;
        return end_item();
    }
    bool start_array(std::size_t) override {
        if (skipped_ != 0)
            return ++skipped_ != 0;
        if (at_ == place::root && what_ == question::check) {
            at_ = place::array;
            out_.array = true;
            return true;
        }
        return wrong_type("an array") && ++skipped_ != 0;
    }
    bool end_array() override {
        if (skipped_ != 0) {
            --skipped_;
            return true;
        }
        at_ = place::end;
        return !out_.items.empty() || !issues_.empty() || complain({}, "must not be empty");
    }
    bool key(std::string& name) override {
        if (skipped_ != 0)
            return true;
        at_ = place::member;
        member_ = no_member;
        for (std::size_t i = 0; i < members.size(); ++i)
            if (members[i].name == name)
                member_ = i;
        if (member_ == no_member) {
            static std::vector<std::string_view> const known{"user", "endpoint",   "rule",
                                                             "cost", "request_id", "keep_ms"};
            return complain(here() + config::pointer_step(name), "unknown member" + config::suggest_name(name, known));
        }
        if ((seen_ >> member_ & 1) != 0) {
            auto const pointer = member_pointer();
            member_ = no_member;
            return complain(pointer, "written twice");
        }
        seen_ |= 1U << member_;
        return true;
    }

    bool null() override { return wrong_type("null"); }
    bool boolean(bool) override { return wrong_type("a boolean"); }
    bool number_integer(json::number_integer_t) override { return number(-1); }
    bool number_unsigned(json::number_unsigned_t value) override { return number(static_cast<double>(value), value); }
    bool number_float(json::number_float_t value, std::string const&) override { return number(value); }
    bool string(std::string& value) override {
        if (skipped_ != 0 || unknown())
            return true;
        if (at_ != place::member || members[member_].text == nullptr)
            return wrong_type("a string");
        if (value.empty())
            return complain(member_pointer(), "must not be empty");
        if (value.size() > max_name)
            return complain(member_pointer(), "longer than " + std::to_string(max_name) + " bytes");
        out_.items.back().*members[member_].text = std::move(value);
        return true;
    }
    bool binary(json::binary_t&) override { return true; }

    bool parse_error(std::size_t position, std::string const&, nlohmann::detail::exception const& why) override {
        constexpr int out_of_range = 406; // "number overflow"
        auto const where = at_ == place::member && skipped_ == 0 && member_ != no_member ? member_pointer() : here();
        complain(where, why.id == out_of_range ? "a number that is too large"
                                               : "not JSON: a syntax error at byte " + std::to_string(position));
        return false;
    }

private:
    enum class place { root, array, item, member, end };

    std::string here() const {
        if (!out_.array || out_.items.empty())
            return {};
        return out_.pointer_of(out_.items.size() - 1);
    }
    std::string member_pointer() const { return here() + '/' + std::string(members[member_].name); }
    /// Inside a member that has been complained of.
    bool unknown() const noexcept { return at_ == place::member && member_ == no_member; }

    bool complain(std::string pointer, std::string detail) {
        issues_.push_back({std::move(pointer), std::move(detail)});
        return issues_.size() < max_issues;
    }

    bool wrong_type(std::string_view found) {
        if (skipped_ != 0 || unknown())
            return true;
        auto const is = ", not " + std::string(found);
        if (at_ == place::member)
            return complain(member_pointer(), "must be " + std::string(members[member_].expected) + is);
        if (at_ != place::array)
            return complain(
                {}, (what_ == question::check ? "must be an object or an array of objects" : "must be an object") + is);
        complain(out_.pointer_of(out_.items.size()), "must be an object" + is);
        return false; // the places of what follows would be counted wrongly
    }

    bool number(double value, std::uint64_t whole = 0) {
        if (skipped_ != 0 || unknown())
            return true;
        if (at_ != place::member || members[member_].number == nullptr)
            return wrong_type("a number");
        auto const& m = members[member_];
        bool const in_range = value >= static_cast<double>(m.least) && value <= static_cast<double>(m.most);
        if (!in_range || value != std::floor(value) || whole > m.most)
            return complain(member_pointer(), "must be " + std::string(m.expected));
        out_.items.back().*m.number = static_cast<std::uint64_t>(value);
        return true;
    }

    bool end_item() {
        for (std::size_t i = 0; i < members.size(); ++i)
            if ((members[i].required & bit(what_)) != 0 && (seen_ >> i & 1) == 0 &&
                !complain(here(), "the member \"" + std::string(members[i].name) + "\" is missing"))
                return false;
        return true;
    }

    question what_;
    check_body& out_;
    std::vector<body_issue>& issues_;
    place at_ = place::root;
    /// Containers open that hold nothing we know.
    std::size_t skipped_ = 0;
    std::size_t member_ = no_member;
    unsigned seen_ = 0;
};

} // namespace

void read_check_body(std::string_view text, question what, check_body& out, std::vector<body_issue>& issues) {
    check_reader reader(what, out, issues);
    json::sax_parse(text, &reader);
}

} // namespace weir::service
