#include "proxy/body_reader.hpp"

#include <algorithm>
#include <cstring>

namespace weir::proxy {

void body_reader::start(http::body_framing framing, std::uint64_t length) noexcept {
    framing_ = framing;
    left_ = framing == http::body_framing::length ? length : 0;
    finished_ = framing == http::body_framing::none || (framing == http::body_framing::length && length == 0);
    chunks_.reset();
}

body_reader::piece body_reader::take(char* input, std::size_t size) noexcept {
    if (finished_)
        return {};
    if (framing_ == http::body_framing::chunked)
        return take_chunks(input, size);
    if (framing_ == http::body_framing::until_close)
        return {size, {input, size}, {}};
    auto const n = static_cast<std::size_t>(std::min<std::uint64_t>(left_, size));
    left_ -= n;
    finished_ = left_ == 0;
    return {n, {input, n}, {}};
}

body_reader::piece body_reader::take_chunks(char* input, std::size_t size) noexcept {
    piece result;
    char* const end = input + size;
    char* at = input;
    char* joined = nullptr;
    std::size_t length = 0;
    for (;;) {
        auto const step = chunks_.next({at, static_cast<std::size_t>(end - at)});
        at += step.consumed;
        if (step.what == http::chunk_decoder::state::data) {
            char* const data = input + (step.data.data() - input);
            if (joined == nullptr)
                joined = data;
            else
                std::memmove(joined + length, data, step.data.size());
            length += step.data.size();
            continue;
        }
        finished_ = step.what == http::chunk_decoder::state::end;
        if (step.what == http::chunk_decoder::state::refused)
            result.why = step.why;
        result.consumed = static_cast<std::size_t>(at - input);
        if (joined != nullptr)
            result.data = {joined, length};
        return result;
    }
}

} // namespace weir::proxy
