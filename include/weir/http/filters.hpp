#pragma once

// What another Boost.Beast server embeds.

#include <weir/circuit/registry.hpp>
#include <weir/http/circuit_filter.hpp>
#include <weir/http/limit_filter.hpp>
#include <weir/http/lock_filter.hpp>
#include <weir/http/passage.hpp>
