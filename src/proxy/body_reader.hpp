#pragma once

#include <weir/http/chunk_decoder.hpp>
#include <weir/http/field.hpp>

#include <cstdint>
#include <string_view>

namespace weir::proxy {

/// Takes one body out of the bytes of a connection, whatever its framing. Chunks are joined in place, so that what
/// came in many of them leaves in one.
class body_reader {
public:
    struct piece {
        /// Bytes of the input used up; what is left belongs to the next message, and there is some only at the end.
        std::size_t consumed = 0;
        /// Inside the input, valid until its bytes change.
        std::string_view data;
        /// The framing is broken: refuse with it.
        http::refusal why;
    };

    void start(http::body_framing framing, std::uint64_t length) noexcept;

    /// Takes what the `size` bytes at `input` hold of the body; overwrites them where chunks are joined.
    piece take(char* input, std::size_t size) noexcept;

    /// Nothing of the body is left to come. Never true for a body that ends with its connection.
    bool finished() const noexcept { return finished_; }
    bool until_close() const noexcept { return framing_ == http::body_framing::until_close; }

    /// How many bytes may be read without reading past the body, up to `most`. Chunks do not tell.
    std::size_t wanted(std::size_t most) const noexcept {
        return framing_ == http::body_framing::length && left_ < most ? static_cast<std::size_t>(left_) : most;
    }

private:
    piece take_chunks(char* input, std::size_t size) noexcept;

    http::chunk_decoder chunks_;
    std::uint64_t left_ = 0;
    http::body_framing framing_ = http::body_framing::none;
    bool finished_ = true;
};

} // namespace weir::proxy
