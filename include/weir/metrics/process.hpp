#pragma once

#include <prometheus/collectable.h>
#include <prometheus/metric_family.h>

#include <ctime>
#include <filesystem>
#include <fstream>
#include <string>
#include <sys/resource.h>
#include <unistd.h>

namespace weir::metrics {

/// What Prometheus' own client libraries say of a process: CPU time, memory, file descriptors, start time; read from
/// /proc at each scrape. Thread safety: safe.
class process_collector final : public prometheus::Collectable {
public:
    std::vector<prometheus::MetricFamily> Collect() const override {
        using prometheus::MetricType;
        std::vector<prometheus::MetricFamily> out;
        rusage used{};
        ::getrusage(RUSAGE_SELF, &used);
        auto const seconds = [](timeval t) {
            return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6;
        };
        add(out, "process_cpu_seconds_total", "CPU time of user and system.", MetricType::Counter,
            seconds(used.ru_utime) + seconds(used.ru_stime));
        long pages = 0, resident = 0;
        std::ifstream{"/proc/self/statm"} >> pages >> resident;
        auto const page = static_cast<double>(::sysconf(_SC_PAGESIZE));
        add(out, "process_virtual_memory_bytes", "Size of the address space.", MetricType::Gauge,
            static_cast<double>(pages) * page);
        add(out, "process_resident_memory_bytes", "Memory in use.", MetricType::Gauge,
            static_cast<double>(resident) * page);
        add(out, "process_open_fds", "Open file descriptors.", MetricType::Gauge, static_cast<double>(open_files()));
        rlimit limit{};
        ::getrlimit(RLIMIT_NOFILE, &limit);
        add(out, "process_max_fds", "File descriptors that may be open.", MetricType::Gauge,
            static_cast<double>(limit.rlim_cur));
        add(out, "process_start_time_seconds", "Start of the process, in seconds since 1970.", MetricType::Gauge,
            started_);
        return out;
    }

private:
    static void add(std::vector<prometheus::MetricFamily>& out, char const* name, char const* help,
                    prometheus::MetricType type, double value) {
        auto& family = out.emplace_back();
        family.name = name;
        family.help = help;
        family.type = type;
        auto& metric = family.metric.emplace_back();
        (type == prometheus::MetricType::Counter ? metric.counter.value : metric.gauge.value) = value;
    }

    static std::size_t open_files() {
        std::error_code ec;
        std::size_t n = 0;
        for (auto const& each : std::filesystem::directory_iterator("/proc/self/fd", ec))
            n += each.path().empty() ? 0 : 1;
        return n == 0 ? 0 : n - 1; // the directory itself
    }

    double const started_ = static_cast<double>(std::time(nullptr));
};

} // namespace weir::metrics
