#pragma once

#include <weir/redis/client.hpp>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <nlohmann/json.hpp>
#include <prometheus/collectable.h>
#include <prometheus/metric_family.h>

#include <chrono>
#include <map>
#include <memory>
#include <string>
#include <string_view>

namespace weir::admin {

/// The fields of INFO's reply.
using info_fields = std::map<std::string, std::string, std::less<>>;
info_fields parse_info(std::string_view text);

/// A field that is a whole number; 0 where it is none.
std::uint64_t info_number(info_fields const& info, std::string_view name);

/// What Redis says of itself, asked now and then: memory, operations, evictions, clients. Nothing of a Redis Cluster,
/// where each node would say something else, and nothing while Redis is away or does not permit INFO.
///
/// Belongs to the thread of its io_context, on which it must be collected too.
class redis_info final : public prometheus::Collectable, public std::enable_shared_from_this<redis_info> {
public:
    static constexpr std::chrono::seconds interval{5};

    /// The client must outlive the io_context's work.
    redis_info(asio::io_context& io, redis::client& client)
        : client_(client)
        , timer_(io) {}

    /// Asks until the io_context ends. Call once, on an object held by a shared_ptr.
    void start();

    std::vector<prometheus::MetricFamily> Collect() const override;

    /// What was said last, or an empty object.
    nlohmann::ordered_json show() const;

private:
    asio::awaitable<void> run();

    redis::client& client_;
    asio::steady_timer timer_;
    info_fields known_;
};

} // namespace weir::admin
