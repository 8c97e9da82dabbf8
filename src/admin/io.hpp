#pragma once

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/use_awaitable.hpp>

namespace weir::admin {

/// The completion token of the operations here: `auto const [ec, n] = co_await ...`, nothing thrown.
inline constexpr auto use_result = boost::asio::as_tuple(boost::asio::use_awaitable);

} // namespace weir::admin
