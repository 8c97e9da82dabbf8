#include "cli/top_view.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>

namespace weir::cli {
namespace {

/// Cut to, or filled up to, a number of columns; each character of UTF-8 counts as one.
std::string cell(std::string const& text, std::size_t width, bool right = false) {
    std::string out;
    std::size_t columns = 0;
    for (std::size_t i = 0; i < text.size(); ++i) {
        auto const byte = static_cast<unsigned char>(text[i]);
        bool const continued = (byte & 0xc0) == 0x80;
        if (!continued && ++columns > width)
            break;
        out += byte < 0x20 || byte == 0x7f ? '?' : text[i];
    }
    auto const fill = std::string(width - std::min(columns, width), ' ');
    return right ? fill + out : out + fill;
}

std::string number(double value) {
    std::array<char, 32> text{};
    auto const [scaled, unit] = value >= 1e6   ? std::pair{value / 1e6, "M"}
                                : value >= 1e4 ? std::pair{value / 1e3, "k"}
                                               : std::pair{value, ""};
    bool const whole = value < 1e4 && value == std::floor(value);
    std::snprintf(text.data(), text.size(), whole ? "%.0f%s" : "%.1f%s", scaled, unit);
    return text.data();
}

std::string duration(std::optional<double> seconds) {
    if (!seconds)
        return "-";
    std::array<char, 32> text{};
    if (*seconds < 1)
        std::snprintf(text.data(), text.size(), "%.1f ms", *seconds * 1e3);
    else
        std::snprintf(text.data(), text.size(), "%.1f s", *seconds);
    return text.data();
}

double sum(json_document const& object) {
    double total = 0;
    for (auto const& each : object)
        total += each.get<double>();
    return total;
}

double grown(json_document const& before, json_document const& now) { return now.get<double>() - before.get<double>(); }

class view {
public:
    view(json_document const& before, json_document const& now, std::size_t width)
        : before_(before)
        , now_(now)
        , width_(width)
        , seconds_(std::max(0.001, grown(before.at("uptime_s"), now.at("uptime_s")))) {}

    void add_head() {
        auto const& redis = now_.at("redis");
        std::string text = "weir " + now_.at("version").get<std::string>() + "   up " +
                           std::to_string(static_cast<long>(now_.at("uptime_s").get<double>())) + " s   workers " +
                           std::to_string(now_.at("workers").get<int>()) + "   in flight " +
                           std::to_string(now_.at("in_flight").get<long>()) + "   " +
                           (now_.at("draining") ? "draining"
                            : now_.at("ready")  ? "ready"
                                                : "NOT READY");
        if (redis.is_object())
            text += std::string("   Redis ") + (redis.at("up") ? "up" : "AWAY") + " at " +
                    redis.at("address").get<std::string>();
        line(text);
        line("admission p50 " + duration(between("admission", 0.5)) + "   p99 " + duration(between("admission", 0.99)));
    }

    void add_routes() {
        line("");
        line(cell("ROUTE", 24) + right("req/s", 10) + right("4xx/s", 10) + right("5xx/s", 10) + right("p50", 12) +
             right("p99", 12));
        for (std::size_t i = 0; i < now_.at("routes").size(); ++i) {
            auto const& route = now_.at("routes")[i];
            auto const& old = before_.at("routes").at(i);
            auto const rate = [&](char const* code) {
                return number(grown(old.at("requests").at(code), route.at("requests").at(code)) / seconds_);
            };
            if (route.at("name") == "other" && sum(route.at("requests")) == 0)
                continue;
            auto const at = [&](double share) {
                return duration(quantile(old.at("duration"), route.at("duration"), now_.at("bounds_s"), share));
            };
            auto const all = (sum(route.at("requests")) - sum(old.at("requests"))) / seconds_;
            line(cell(route.at("name"), 24) + right(number(all), 10) + right(rate("4xx"), 10) + right(rate("5xx"), 10) +
                 right(at(0.5), 12) + right(at(0.99), 12));
        }
    }

    void add_limits() {
        if (now_.at("limits").empty())
            return;
        line("");
        line(cell("LIMIT", 24) + right("allow/s", 10) + right("deny/s", 10) + right("shadow/s", 10) +
             right("error/s", 10));
        for (std::size_t i = 0; i < now_.at("limits").size(); ++i) {
            auto const& limit = now_.at("limits")[i];
            auto const& old = before_.at("limits").at(i);
            auto const rate = [&](std::initializer_list<char const*> outcomes) {
                double total = 0;
                for (auto const* each : outcomes)
                    total += grown(old.at("decisions").at(each), limit.at("decisions").at(each));
                return right(number(total / seconds_), 10);
            };
            line(cell(limit.at("name"), 24) + rate({"allow"}) + rate({"deny", "deny_local"}) + rate({"shadow_deny"}) +
                 rate({"error_open", "error_closed", "error_local"}));
        }
    }

    void add_keys(json_document const& top) {
        if (top.at("keys").empty())
            return;
        line("");
        line(cell("HOT KEY (last " + std::to_string(static_cast<int>(top.at("seconds").get<double>())) + " s)", 40) +
             cell("LIMIT", 18) + right("asked", 10) + right("refused", 10) + right("/s", 10));
        for (auto const& key : top.at("keys"))
            line(cell(key.at("user").get<std::string>() + " " + key.at("endpoint").get<std::string>(), 39) + ' ' +
                 cell(key.at("rule"), 18) + right(number(key.at("count")), 10) + right(number(key.at("refused")), 10) +
                 right(number(key.at("per_second")), 10));
    }

    std::vector<std::string> take() { return std::move(lines_); }

private:
    static std::string right(std::string const& text, std::size_t width) { return cell(text, width, true); }

    std::optional<double> between(char const* name, double share) const {
        return quantile(before_.at(name), now_.at(name), now_.at("bounds_s"), share);
    }

    void line(std::string const& text) {
        auto cut = cell(text, width_);
        cut.resize(cut.find_last_not_of(' ') + 1);
        lines_.push_back(std::move(cut));
    }

    json_document const& before_;
    json_document const& now_;
    std::size_t width_;
    double seconds_;
    std::vector<std::string> lines_;
};

} // namespace

std::optional<double> quantile(json_document const& before, json_document const& now, json_document const& bounds,
                               double share) {
    std::vector<double> counts;
    double total = 0;
    for (std::size_t i = 0; i < now.size(); ++i)
        total += counts.emplace_back(now[i].get<double>() - before.at(i).get<double>());
    if (total <= 0)
        return {};
    auto wanted = share * total;
    for (std::size_t i = 0; i < counts.size(); ++i) {
        if (wanted > counts[i]) {
            wanted -= counts[i];
            continue;
        }
        auto const low = i == 0 ? 0 : bounds.at(i - 1).get<double>();
        auto const high = i < bounds.size() ? bounds[i].get<double>() : low;
        return low + (high - low) * wanted / std::max(counts[i], 1.0);
    }
    return bounds.back().get<double>();
}

std::vector<std::string> top_lines(json_document const& before, json_document const& now, json_document const& top,
                                   std::size_t width, std::size_t height) {
    view made(before, now, width);
    made.add_head();
    made.add_routes();
    made.add_limits();
    made.add_keys(top);
    auto lines = made.take();
    if (lines.size() > height)
        lines.resize(height);
    return lines;
}

} // namespace weir::cli
