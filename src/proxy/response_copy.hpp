#pragma once

#include <weir/http/head.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace weir::proxy {

/// What an upstream answers, taken down as it streams by so that others can be given the same: the status, the fields
/// that are meant for whoever asks, and the body up to a bound.
///
/// Distinct objects: safe; shared objects: unsafe.
class response_copy {
public:
    /// `more`: fields that are kept besides the usual, in lower case; must outlive the object.
    response_copy(std::size_t max_body, std::span<std::string const> more) noexcept
        : max_body_(max_body)
        , more_(more) {}

    /// The head of an answer to a request by `method` has come. Forgets what was taken before: it was another
    /// attempt's.
    void begin(http::response_head const& head, boost::beast::http::verb method);
    void take(std::string_view piece);

    unsigned status() const noexcept { return status_; }
    /// A stream of events, or longer than the bound: there is no copy.
    bool too_much() const noexcept { return too_much_; }
    /// A message of HTTP/1.1, for read_copy(). Precondition: not too_much(), and all of the body was taken.
    std::string text() const;

private:
    std::size_t max_body_;
    std::span<std::string const> more_;
    unsigned status_ = 0;
    bool too_much_ = false;
    /// No body follows, and the head may say nothing of one.
    bool bodiless_ = false;
    std::optional<std::uint64_t> length_;
    std::string head_;
    std::string body_;
};

/// A copy read again. The views point into the text.
struct read_response {
    http::response_head head;
    std::string_view body;
};
/// False where the text is no copy of an answer to a request by `method`.
bool read_copy(std::string_view text, boost::beast::http::verb method, read_response& into);

} // namespace weir::proxy
