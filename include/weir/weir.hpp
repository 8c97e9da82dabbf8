#pragma once

// Everything an embedding program needs.

#include <weir/clock.hpp>
#include <weir/error.hpp>
#include <weir/version.hpp>
