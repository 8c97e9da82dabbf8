#pragma once

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/use_awaitable.hpp>

namespace weir::test {

/// The completion token of tests: `auto const [ec, n] = co_await ...`, nothing thrown.
inline constexpr auto use_result = boost::asio::as_tuple(boost::asio::use_awaitable);

} // namespace weir::test
