#include "support/lock_history.hpp"

#include <algorithm>
#include <fstream>
#include <limits>
#include <map>
#include <sstream>
#include <stdexcept>

namespace weir::test {
namespace {

using events = std::vector<lock_event>;

std::string words_of(lock_event const& of) {
    return "process " + std::to_string(of.process) + ", fence " + std::to_string(of.fence);
}

events of_kind(events const& history, lock_event::kind what, bool only_ok = true) {
    events result;
    std::copy_if(history.begin(), history.end(), std::back_inserter(result),
                 [&](auto const& each) { return each.what == what && (each.ok || !only_ok); });
    return result;
}

void check_fences(events const& history, std::vector<std::string>& wrong) {
    auto grants = of_kind(history, lock_event::kind::acquire);
    std::map<std::uint64_t, lock_event> seen;
    for (auto const& each : grants)
        if (auto const [other, fresh] = seen.emplace(each.fence, each); !fresh)
            wrong.push_back("a fence given twice: " + words_of(each) + " and " + words_of(other->second));
    // In the order of their calls; before each, the highest fence of what had ended by then.
    auto by_end = grants;
    std::sort(grants.begin(), grants.end(), [](auto const& a, auto const& b) { return a.call < b.call; });
    std::sort(by_end.begin(), by_end.end(), [](auto const& a, auto const& b) { return a.end < b.end; });
    std::uint64_t highest = 0;
    auto ended = by_end.begin();
    for (auto const& each : grants) {
        for (; ended != by_end.end() && ended->end < each.call; ++ended)
            highest = std::max(highest, ended->fence);
        if (each.fence < highest)
            wrong.push_back("a fence below one granted before: " + words_of(each) + " after " +
                            std::to_string(highest));
    }
}

/// What was granted to another before, with a higher fence, was not the caller's any more.
void check_owners(events const& history, std::vector<std::string>& wrong) {
    auto grants = of_kind(history, lock_event::kind::acquire);
    std::sort(grants.begin(), grants.end(), [](auto const& a, auto const& b) { return a.end < b.end; });
    std::vector<std::uint64_t> highest;
    for (auto const& each : grants)
        highest.push_back(std::max(highest.empty() ? 0 : highest.back(), each.fence));
    for (auto const what : {lock_event::kind::release, lock_event::kind::extend})
        for (auto const& each : of_kind(history, what)) {
            auto const before = std::lower_bound(grants.begin(), grants.end(), each.call,
                                                 [](auto const& grant, auto call) { return grant.end < call; });
            if (before != grants.begin() && highest[before - grants.begin() - 1] > each.fence)
                wrong.push_back(std::string(what == lock_event::kind::release ? "a release" : "an extension") +
                                " by one who did not hold it: " + words_of(each));
        }
}

void check_register(events const& history, std::vector<std::string>& wrong) {
    auto writes = of_kind(history, lock_event::kind::fenced_write);
    std::sort(writes.begin(), writes.end(), [](auto const& a, auto const& b) { return a.order < b.order; });
    std::uint64_t highest = 0;
    for (auto const& each : writes) {
        if (each.fence < highest)
            wrong.push_back("the register accepted a stale write: " + words_of(each));
        highest = std::max(highest, each.fence);
    }
}

void check_exclusion(events const& history, std::vector<std::string>& wrong) {
    auto holds = of_kind(history, lock_event::kind::hold, false);
    std::sort(holds.begin(), holds.end(), [](auto const& a, auto const& b) { return a.call < b.call; });
    lock_event const* last = nullptr;
    for (auto const& each : holds) {
        if (last && each.call < last->end)
            wrong.push_back("two believed to hold it: " + words_of(*last) + " and " + words_of(each));
        if (!last || each.end > last->end)
            last = &each;
    }
}

} // namespace

std::string to_line(lock_event const& of) {
    std::ostringstream line;
    line << of.process << ' ' << static_cast<int>(of.what) << ' ' << of.ok << ' ' << of.call << ' ' << of.end << ' '
         << of.fence << ' ' << of.order << '\n';
    return line.str();
}

lock_event from_line(std::string const& line) {
    std::istringstream words(line);
    lock_event result;
    int what = -1;
    words >> result.process >> what >> result.ok >> result.call >> result.end >> result.fence >> result.order;
    if (!words || what < 0 || what > static_cast<int>(lock_event::kind::fenced_write))
        throw std::runtime_error("no line of a history: " + line);
    result.what = static_cast<lock_event::kind>(what);
    return result;
}

std::vector<lock_event> read_history(std::string const& path) {
    std::ifstream file(path);
    std::stringstream text;
    text << file.rdbuf();
    std::vector<lock_event> result;
    auto const all = text.str();
    for (std::size_t at = 0, end = all.find('\n'); end != std::string::npos; at = end + 1, end = all.find('\n', at))
        result.push_back(from_line(all.substr(at, end - at)));
    return result;
}

std::vector<std::string> violations(std::vector<lock_event> const& history, bool exclusive) {
    std::vector<std::string> wrong;
    check_fences(history, wrong);
    check_owners(history, wrong);
    check_register(history, wrong);
    if (exclusive)
        check_exclusion(history, wrong);
    return wrong;
}

} // namespace weir::test
