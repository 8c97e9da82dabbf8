#include "admin/inspect.hpp"

#include "admin/timestamp.hpp"

#include <algorithm>
#include <condition_variable>
#include <map>
#include <mutex>
#include <tuple>

namespace weir::admin {
namespace {

/// A worker that has ended says nothing.
constexpr std::chrono::milliseconds patience_with_workers{500};

/// What every worker says, each on its own thread; this one waits. Those that say nothing in time are left out.
template <class Answer>
std::vector<Answer> ask_workers(proxy::server const& of, std::function<Answer(proxy::insight const&)> const& question) {
    struct shared {
        std::mutex mutex;
        std::condition_variable changed;
        std::vector<Answer> answers;
    };
    auto const all = std::make_shared<shared>();
    for (std::size_t i = 0; i < of.workers(); ++i)
        of.ask(i, [all, question](proxy::insight const& known) {
            auto answer = question(known);
            std::lock_guard const lock{all->mutex};
            all->answers.push_back(std::move(answer));
            all->changed.notify_one();
        });
    std::unique_lock lock{all->mutex};
    all->changed.wait_for(lock, patience_with_workers, [&] { return all->answers.size() == of.workers(); });
    return all->answers;
}

// --- top ------------------------------------------------------------------------------------------------------------

constexpr std::size_t most_keys = 200;

struct hot_count {
    std::uint64_t count = 0, error = 0, refused = 0;
};
struct hot_answer {
    std::map<std::tuple<std::string, std::string, std::string>, hot_count> keys;
    boot_clock::time_point since;

    void add(proxy::hot_keys::sketch const& half) {
        half.for_each([&](auto const& each) {
            auto& sum = keys[{each.key.rule, each.key.user, each.key.endpoint}];
            sum.count += each.count;
            sum.error += each.error;
            sum.refused += each.marked;
        });
    }
};

api_answer answer_top(api_request const& asked, proxy::server const& of) {
    auto const wanted = number_parameter(asked, "limit", 20, most_keys);
    if (asked.path.size() != 1 || !wanted)
        return refused(400, "write /v1/top?limit=N");
    hot_answer sum;
    sum.since = boot_clock::now();
    for (auto const& one : ask_workers<hot_answer>(of, [](proxy::insight const& known) {
             hot_answer answer;
             answer.since = known.hot.since();
             answer.add(known.hot.present());
             answer.add(known.hot.before());
             return answer;
         })) {
        sum.since = std::min(sum.since, one.since);
        for (auto const& [key, n] : one.keys) {
            auto& all = sum.keys[key];
            all.count += n.count;
            all.error += n.error;
            all.refused += n.refused;
        }
    }
    auto const seconds = std::chrono::duration<double>(boot_clock::now() - sum.since).count();
    std::vector<decltype(sum.keys)::const_pointer> sorted;
    for (auto const& each : sum.keys)
        sorted.push_back(&each);
    auto const n = std::min(sorted.size(), *wanted);
    std::partial_sort(sorted.begin(), sorted.begin() + static_cast<std::ptrdiff_t>(n), sorted.end(),
                      [](auto const* a, auto const* b) { return a->second.count > b->second.count; });
    auto keys = json::array();
    for (std::size_t i = 0; i < n; ++i) {
        auto const& [key, count] = *sorted[i];
        keys.push_back({{"rule", std::get<0>(key)},
                        {"user", std::get<1>(key)},
                        {"endpoint", std::get<2>(key)},
                        {"count", count.count},
                        {"error", count.error},
                        {"refused", count.refused},
                        {"per_second", seconds > 0 ? static_cast<double>(count.count) / seconds : 0}});
    }
    return {200, {{"seconds", seconds}, {"keys", keys}}, {}};
}

// --- explain --------------------------------------------------------------------------------------------------------

constexpr std::size_t most_refusals = 200;

json show_rule(proxy::refusing_rule const& one, timestamp at) {
    json shown{{"rule", one.name},
               {"outcome", to_string(one.said.outcome)},
               {"allowed", one.said.allowed},
               {"asked", one.said.asked},
               {"by_list", one.said.listed && !one.said.allowed},
               {"user", one.user},
               {"endpoint", one.endpoint},
               {"algorithm", to_string(one.algorithm)},
               {"shadow", one.shadow},
               {"limit", one.said.limit},
               {"window_ms", one.said.window.count()},
               {"cost", one.cost},
               {"remaining", one.said.remaining},
               {"retry_after_ms", milliseconds_of(one.said.retry_after)},
               {"reset_after_ms", milliseconds_of(one.said.reset_after)}};
    if (one.said.retry_after != never && one.said.retry_after.count() > 0)
        shown["passes_at"] = format_timestamp(at + one.said.retry_after);
    return shown;
}

json show_refusal(proxy::refusal_record const& one) {
    json shown{{"request_id", one.request_id}, {"at", format_timestamp(one.at)},
               {"status", one.status},         {"client", one.client},
               {"method", one.method},         {"path", one.path},
               {"route", one.route},           {"detail", one.detail}};
    if (one.rules_asked != 0) {
        // Whose time the windows were counted by.
        shown["clock"] = one.error ? "process" : "redis";
        if (one.error)
            shown["redis_error"] = one.error.message();
        shown["rules"] = json::array();
        for (std::size_t i = 0; i < one.rules_asked; ++i)
            shown["rules"].push_back(show_rule(one.rules[i], one.at));
    }
    return shown;
}

api_answer answer_explain(api_request const& asked, proxy::server const& of) {
    auto const wanted = number_parameter(asked, "limit", 20, most_refusals);
    if (asked.path.size() != 1 || !wanted)
        return refused(400, "write /v1/explain?request_id=ID, or /v1/explain?limit=N for the latest");
    auto const id = asked.parameter("request_id");
    std::vector<proxy::refusal_record> found;
    for (auto& some : ask_workers<std::vector<proxy::refusal_record>>(
             of, [id = std::string(id.value_or("")), any = !id, n = *wanted](proxy::insight const& known) {
                 std::vector<proxy::refusal_record> picked;
                 known.refusals.for_each([&](proxy::refusal_record const& each) {
                     if (any || each.request_id == id)
                         picked.push_back(each);
                     return picked.size() < n;
                 });
                 return picked;
             }))
        std::move(some.begin(), some.end(), std::back_inserter(found));
    if (found.empty() && id)
        return refused(404, "no refusal of that request is remembered: each worker remembers its latest " +
                                std::to_string(proxy::refusal_log::capacity));
    std::sort(found.begin(), found.end(), [](auto const& a, auto const& b) { return a.at > b.at; });
    if (found.size() > *wanted)
        found.resize(*wanted);
    auto list = json::array();
    for (auto const& one : found)
        list.push_back(show_refusal(one));
    return {200, {{"refusals", list}}, {}};
}

} // namespace

std::vector<api_resource> inspection(proxy::server const& of) {
    return {{"top",
             {"GET"},
             [&of](api_request const& asked) -> asio::awaitable<api_answer> { co_return answer_top(asked, of); }},
            {"explain", {"GET"}, [&of](api_request const& asked) -> asio::awaitable<api_answer> {
                 co_return answer_explain(asked, of);
             }}};
}

} // namespace weir::admin
