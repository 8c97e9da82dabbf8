#pragma once

// The one file to compile where WEIR_SEPARATE_COMPILATION is defined: it holds every non-template function.

#if !defined(WEIR_SEPARATE_COMPILATION)
#error "define WEIR_SEPARATE_COMPILATION for the whole program before including <weir/src.hpp>"
#endif

#include <weir/circuit/impl/adaptive_throttle.ipp>
#include <weir/circuit/impl/classify.ipp>
#include <weir/circuit/impl/core.ipp>
#include <weir/circuit/impl/member.ipp>
#include <weir/circuit/impl/registry.ipp>
#include <weir/circuit/impl/retry_budget.ipp>
#include <weir/circuit/impl/script.ipp>
#include <weir/circuit/impl/settings.ipp>
#include <weir/circuit/impl/state.ipp>
#include <weir/circuit/impl/window.ipp>
#include <weir/http/impl/canonical_target.ipp>
#include <weir/http/impl/chunk_decoder.ipp>
#include <weir/http/impl/client_address.ipp>
#include <weir/http/impl/head.ipp>
#include <weir/http/impl/json_number_reader.ipp>
#include <weir/http/impl/json_pointer.ipp>
#include <weir/http/impl/json_string.ipp>
#include <weir/http/impl/problem.ipp>
#include <weir/http/impl/rate_limit_fields.ipp>
#include <weir/http/impl/usage_reader.ipp>
#include <weir/impl/error.ipp>
#include <weir/impl/key.ipp>
#include <weir/rate_limit/impl/check_batch.ipp>
#include <weir/rate_limit/impl/check_script.ipp>
#include <weir/rate_limit/impl/denial_cache.ipp>
#include <weir/rate_limit/impl/lease_table.ipp>
#include <weir/rate_limit/impl/limiter.ipp>
#include <weir/rate_limit/impl/local_engine.ipp>
#include <weir/rate_limit/impl/penalty_count.ipp>
#include <weir/rate_limit/impl/rule.ipp>
#include <weir/rate_limit/impl/rule_state.ipp>
#include <weir/rate_limit/impl/token_bucket.ipp>
#include <weir/rate_limit/impl/window.ipp>
#include <weir/redis/impl/backend.ipp>
#include <weir/redis/impl/client.ipp>
#include <weir/redis/impl/cluster.ipp>
#include <weir/redis/impl/cluster_map.ipp>
#include <weir/redis/impl/command.ipp>
#include <weir/redis/impl/connecting.ipp>
#include <weir/redis/impl/connection.ipp>
#include <weir/redis/impl/connection_group.ipp>
#include <weir/redis/impl/embedded_server.ipp>
#include <weir/redis/impl/hash_slot.ipp>
#include <weir/redis/impl/operation.ipp>
#include <weir/redis/impl/parser.ipp>
#include <weir/redis/impl/pipeline.ipp>
#include <weir/redis/impl/reply.ipp>
#include <weir/redis/impl/script.ipp>
#include <weir/redis/impl/sentinel.ipp>
#include <weir/redis/impl/sentinel_replies.ipp>
#include <weir/redis/impl/server_process.ipp>
#include <weir/redis/impl/subscriber.ipp>
#include <weir/redis/impl/subscription_table.ipp>
#include <weir/redis/impl/tls_stream.ipp>
#include <weir/redis/impl/transport.ipp>
#include <weir/redis/impl/url.ipp>
