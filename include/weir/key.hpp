#pragma once

#include <weir/detail/config.hpp>

#include <string>
#include <string_view>

namespace weir {

/// One part of a Redis key that somebody else chose: the user or the endpoint of a rule, or "any" of them.
///
/// Implicitly made from text; `key_part::any()` is the `*` of a rule that counts all users or all endpoints together,
/// which no text can spell (a literal `*` is encoded).
class key_part {
public:
    constexpr key_part() = default;
    constexpr key_part(std::string_view text)
        : text_(text) {}
    constexpr key_part(const char* text)
        : text_(text) {}
    key_part(std::string const& text)
        : text_(text) {}
    static constexpr key_part any() noexcept {
        key_part part;
        part.any_ = true;
        return part;
    }

    constexpr std::string_view text() const noexcept { return text_; }
    constexpr bool is_any() const noexcept { return any_; }

private:
    std::string_view text_;
    bool any_ = false;
};

/// The longest encoded form of a part; a longer one becomes a prefix, `=` and 128 bits of its SHA-256.
inline constexpr std::size_t max_key_part = 128;

/// Appends `part` so that no two different parts, and no part and a separator of a key, are ever the same text: all but
/// unreserved characters (RFC 3986 section 2.3) and `/` are percent-encoded.
WEIR_DECL void append_key_part(std::string& out, key_part part);

/// Whether keys carry a hash tag, so that all keys of one user live on one node of a Redis Cluster.
enum class key_layout { standalone, cluster };

/// Appends `<prefix>rate:<user>:<endpoint>`, on a cluster `<prefix>rate:{<user>}:<endpoint>`.
WEIR_DECL void append_rate_key(std::string& out, std::string_view prefix, key_part user, key_part endpoint,
                               key_layout layout = key_layout::standalone);

/// Appends `<rate key>#<request id>`: where the record of a request is kept, on the node of its rate key.
WEIR_DECL void append_record_key(std::string& out, std::string_view rate_key, std::string_view request_id);

/// Appends `<prefix>circuit:<service>`, on a cluster `<prefix>circuit:{<service>}`.
WEIR_DECL void append_circuit_key(std::string& out, std::string_view prefix, key_part service,
                                  key_layout layout = key_layout::standalone);

/// Appends the key of the stream that keeps the history of that circuit, `<prefix>stream:circuit:<service>`; on a
/// cluster `<prefix>stream:circuit:{<service>}`, on the same node.
WEIR_DECL void append_circuit_history_key(std::string& out, std::string_view prefix, key_part service,
                                          key_layout layout = key_layout::standalone);

/// Appends `<prefix>lock:<name>`, on a cluster `<prefix>lock:{<name>}`: who holds it. The other keys of the lock are
/// this one and `#` with a word behind it.
WEIR_DECL void append_lock_key(std::string& out, std::string_view prefix, key_part name,
                               key_layout layout = key_layout::standalone);

/// Appends the key of the highest fence of all locks, `<prefix>lock:#fence`; on a cluster, where each slot has its own,
/// `<prefix>lock:#fence{<tag>}`, `tag` being any text of that slot.
WEIR_DECL void append_lock_fence_key(std::string& out, std::string_view prefix, std::string_view tag = {});

/// Appends `<prefix>idempotency:<key>`, on a cluster `<prefix>idempotency:{<key>}`.
WEIR_DECL void append_idempotency_key(std::string& out, std::string_view prefix, key_part key,
                                      key_layout layout = key_layout::standalone);

/// Appends what the channels begin with on which instances are told of their locks, `<prefix>lock:#`; their ids follow.
WEIR_DECL void append_lock_channel(std::string& out, std::string_view prefix);

} // namespace weir

#if defined(WEIR_HEADER_ONLY)
#include <weir/impl/key.ipp>
#endif
