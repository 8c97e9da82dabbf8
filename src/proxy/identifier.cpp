#include "proxy/identifier.hpp"

#include <weir/http/detail/bytes.hpp>

#include <algorithm>
#include <chrono>

namespace weir::proxy {
namespace {

using source_type = config::identity_source::type;

std::chrono::sys_seconds today() noexcept {
    return std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
}

/// What the client shows in that field: without the scheme where it is Authorization. Empty where there is none, and
/// where there are two: the upstream might believe the other. `why` then says so.
std::string_view credential_in(http::request_head const& request, std::string_view name, std::string_view& why) {
    bool twice = false;
    auto const* const field = request.find_only(name, twice);
    if (twice)
        why = "the field of the credential stands twice";
    if (field == nullptr)
        return {};
    auto found = field->value;
    if (name != "authorization")
        return found;
    constexpr std::string_view scheme = "Bearer ";
    if (found.size() <= scheme.size() || !http::detail::equals_ignoring_case(found.substr(0, scheme.size()), scheme))
        return {};
    found.remove_prefix(scheme.size());
    return found.substr(std::min(found.find_first_not_of(' '), found.size()));
}

/// RFC 6750 3 for what comes as a Bearer; for API keys in a field of their own no scheme is registered.
void append_challenge(std::string& out, config::identity_source const& source, std::string_view why) {
    bool const bearer = source.header == "authorization";
    out += bearer ? "WWW-Authenticate: Bearer" : "WWW-Authenticate: ApiKey header=\"" + source.header + "\"";
    if (!why.empty()) {
        out += bearer ? " error=\"invalid_token\", error_description=\"" : ", error_description=\"";
        out += why;
        out += '"';
    }
    out += "\r\n";
}

} // namespace

identifier::identifier(config::config const& config)
    : config_(config)
    , tokens_(config.identity.size(), http::verified_cache{remembered})
    , required_(std::any_of(config.identity.begin(), config.identity.end(),
                            [](config::identity_source const& each) { return each.required; })) {}

bool identifier::identify(exchange& x, http::client_address const& client) {
    why_ = {};
    x.attributes.clear();
    for (std::size_t i = 0; i < config_.identity.size(); ++i) {
        auto const& source = config_.identity[i];
        if (source.from == source_type::ip)
            break;
        if (source.from == source_type::header) {
            auto const* const field = x.request.find(source.header);
            if (field && !field->value.empty()) {
                x.user = field->value;
                return true;
            }
        } else if (source.from == source_type::api_key ? find_by_key(source, x)
                                                       : find_by_token(source, tokens_[i], x)) {
            x.user = x.verified_user;
            return true;
        }
        if (source.required) {
            refuse(x);
            return false;
        }
    }
    x.user = client.key;
    return true;
}

bool identifier::find_by_key(config::identity_source const& source, exchange& x) {
    auto const shown = credential_in(x.request, source.header, why_);
    if (shown.empty())
        return false;
    auto const* const who = source.keys->find(shown, today());
    if (who == nullptr) {
        why_ = "the API key is not known";
        return false;
    }
    x.verified_user = who->user;
    x.attributes = who->attributes;
    return true;
}

bool identifier::find_by_token(config::identity_source const& source, http::verified_cache& known, exchange& x) {
    auto const shown = credential_in(x.request, source.header, why_);
    if (shown.empty())
        return false;
    auto const now = today();
    auto const* who = shown.size() <= http::max_jwt ? known.find(shown, now) : nullptr;
    if (who == nullptr) {
        http::verified_identity fresh;
        if (auto const refusal = source.tokens->verify(shown, now, fresh); refusal != http::jwt_refusal::none) {
            why_ = http::to_string(refusal);
            return false;
        }
        who = &known.remember(shown, std::move(fresh));
    }
    x.verified_user = who->user;
    x.attributes = who->attributes;
    return true;
}

void identifier::refuse(exchange& x) const {
    x.status = 401;
    x.detail = why_.empty() ? "credentials are required" : std::string(why_);
    for (auto const& source : config_.identity) {
        if (source.from == source_type::api_key || source.from == source_type::jwt)
            append_challenge(x.limit_fields, source, why_);
        if (source.required)
            break;
    }
}

} // namespace weir::proxy
