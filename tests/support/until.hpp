#pragma once

#include "support/http_client.hpp"

#include <gtest/gtest.h>

#include <chrono>

namespace weir::test {

/// Asks again and again, for what other threads and processes do and announce to nobody.
template <class Condition>
void until(Condition const& holds) {
    auto const deadline = std::chrono::steady_clock::now() + http_client::patience;
    while (!holds())
        ASSERT_LT(std::chrono::steady_clock::now(), deadline);
}

} // namespace weir::test
