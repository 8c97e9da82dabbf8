#pragma once

#include <weir/http/json_pointer.hpp>

#include <stdexcept>

namespace weir::http {

WEIR_DECL json_pointer::json_pointer(std::string_view text)
    : text_(text) {
    if (!text.empty() && text.front() != '/')
        throw std::invalid_argument("a JSON pointer begins with \"/\"");
    while (!text.empty()) {
        text.remove_prefix(1);
        auto const raw = text.substr(0, text.find('/'));
        text.remove_prefix(raw.size());
        if (steps_.size() == max_steps)
            throw std::invalid_argument("a JSON pointer of more than " + std::to_string(max_steps) + " steps");
        auto& step = steps_.emplace_back();
        for (std::size_t i = 0; i < raw.size(); ++i) {
            if (raw[i] != '~') {
                step += raw[i];
                continue;
            }
            if (++i == raw.size() || (raw[i] != '0' && raw[i] != '1'))
                throw std::invalid_argument("in a JSON pointer \"~\" stands only in \"~0\" and \"~1\"");
            step += raw[i] == '0' ? '~' : '/';
        }
    }
}

} // namespace weir::http
