#pragma once

#include <weir/redis/client.hpp>
#include <weir/redis/cluster.hpp>
#include <weir/redis/connection.hpp>
#include <weir/redis/sentinel.hpp>

namespace weir::redis::detail {

WEIR_DECL std::shared_ptr<backend> make_backend(asio::io_context& context, client_options options) {
    if (options.server.topology == topology::cluster)
        return std::make_shared<cluster>(context, std::move(options));
    if (options.server.topology == topology::sentinel)
        return std::make_shared<sentinel>(context, std::move(options));
    return std::make_shared<connection>(context, std::move(options));
}

} // namespace weir::redis::detail
