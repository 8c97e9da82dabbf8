#include "admin/start.hpp"

#include "admin/info.hpp"
#include "config/show.hpp"

#include <weir/metrics/collector.hpp>
#include <weir/metrics/process.hpp>
#include <weir/version.hpp>

#include <openssl/evp.h>

#include <array>

namespace weir::admin {
namespace {

/// The first 16 hexadecimal digits of the SHA-256 of the configuration in effect: the same on instances that agree.
std::string hash_of(config::config const& settings) {
    auto const text = config::show(settings).dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
    std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
    EVP_Digest(text.data(), text.size(), digest.data(), nullptr, EVP_sha256(), nullptr);
    std::string out;
    for (std::size_t i = 0; i < 8; ++i) {
        out += "0123456789abcdef"[digest[i] >> 4];
        out += "0123456789abcdef"[digest[i] & 15];
    }
    return out;
}

} // namespace

std::unique_ptr<server> start(config::config const& settings, proxy::server const& of) {
    server_options how;
    how.address = settings.admin;
    how.token = settings.admin_token;
    how.metrics = {std::make_shared<metrics::collector>(of.counters()), std::make_shared<metrics::process_collector>(),
                   std::make_shared<info_collector>(WEIR_VERSION_STRING, hash_of(settings))};
    how.readiness = [&of, limited = settings.needs_redis()] {
        std::vector<condition> all;
        all.push_back({"accepting", !of.draining(), "draining"});
        if (limited)
            all.push_back({"redis", metrics::redis_up(*of.counters()), "not connected to Redis"});
        for (auto const& each : of.upstream_states())
            all.push_back({"upstream " + each.name, each.ready, "no target is well"});
        return all;
    };
    return std::make_unique<server>(std::move(how));
}

} // namespace weir::admin
