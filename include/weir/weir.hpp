#pragma once

// Everything an embedding program needs.

#include <weir/circuit/adaptive_throttle.hpp>
#include <weir/circuit/bulkhead.hpp>
#include <weir/circuit/hedge.hpp>
#include <weir/circuit/registry.hpp>
#include <weir/circuit/retry_budget.hpp>
#include <weir/clock.hpp>
#include <weir/error.hpp>
#include <weir/key.hpp>
#include <weir/lock/idempotency.hpp>
#include <weir/lock/manager.hpp>
#include <weir/lock/mutex.hpp>
#include <weir/lock/quorum.hpp>
#include <weir/lock/read_write.hpp>
#include <weir/lock/semaphore.hpp>
#include <weir/lock/single_flight.hpp>
#include <weir/lock/with_lock.hpp>
#include <weir/rate_limit/limiter.hpp>
#include <weir/rate_limit/rule.hpp>
#include <weir/redis/client.hpp>
#include <weir/redis/embedded_server.hpp>
#include <weir/redis/subscriber.hpp>
#include <weir/redis/url.hpp>
#include <weir/version.hpp>
