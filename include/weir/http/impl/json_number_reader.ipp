#pragma once

#include <weir/http/json_number_reader.hpp>

#include <boost/json/basic_parser_impl.hpp>

#include <charconv>
#include <cmath>

namespace weir::http {
namespace detail {

WEIR_DECL void number_finder::reset() noexcept { *this = number_finder{*where_}; }

WEIR_DECL bool number_finder::is_index() const noexcept {
    std::string_view const step = where_->steps()[on_path_ - 1];
    std::size_t index = 0;
    auto const [end, ec] = std::from_chars(step.data(), step.data() + step.size(), index);
    bool const canonical = step.size() == 1 || !step.starts_with('0'); // RFC 6901 section 4
    return ec == std::errc{} && end == step.data() + step.size() && canonical && index == index_;
}

WEIR_DECL bool number_finder::enter(bool array) noexcept {
    commit();
    bool const follows = next_on_path_ && depth_ == on_path_;
    ++depth_;
    if (!follows)
        return true;
    if (on_path_ == where_->steps().size()) {
        state_ = number_state::no_number;
        next_on_path_ = false;
        return true;
    }
    auto const bit = std::uint64_t{1} << on_path_;
    arrays_ = array ? arrays_ | bit : arrays_ & ~bit;
    ++on_path_;
    index_ = 0;
    next_on_path_ = array && is_index();
    return true;
}

WEIR_DECL bool number_finder::leave() noexcept {
    commit();
    if (on_path_ == depth_) {
        --on_path_;
        index_ = static_cast<std::size_t>(-2); // of the array around it: the step has been taken
    }
    --depth_;
    value_ended();
    return true;
}

WEIR_DECL void number_finder::value_ended() noexcept {
    if (on_path_ != depth_)
        return;
    next_on_path_ = false;
    if (depth_ == 0 || (arrays_ >> (on_path_ - 1) & 1) == 0)
        return;
    ++index_;
    next_on_path_ = is_index();
}

WEIR_DECL bool number_finder::scalar(number_state what, std::uint64_t value) noexcept {
    commit();
    if (next_on_path_ && depth_ == on_path_ && on_path_ == where_->steps().size()) {
        pending_ = true;
        pending_state_ = what;
        pending_value_ = value;
    }
    value_ended();
    return true;
}

WEIR_DECL bool number_finder::on_object_begin(error_code&) noexcept { return enter(false); }
WEIR_DECL bool number_finder::on_object_end(std::size_t, error_code&) noexcept { return leave(); }
WEIR_DECL bool number_finder::on_array_begin(error_code&) noexcept { return enter(true); }
WEIR_DECL bool number_finder::on_array_end(std::size_t, error_code&) noexcept { return leave(); }

WEIR_DECL bool number_finder::on_key_part(text part, std::size_t, error_code&) noexcept {
    if (on_path_ != depth_ || key_equal_ == std::string_view::npos)
        return true;
    std::string_view const rest = std::string_view{where_->steps()[on_path_ - 1]}.substr(key_equal_);
    std::string_view const given{part.data(), part.size()};
    key_equal_ = rest.starts_with(given) ? key_equal_ + given.size() : std::string_view::npos;
    return true;
}

WEIR_DECL bool number_finder::on_key(text part, std::size_t size, error_code& ec) noexcept {
    commit();
    if (on_path_ != depth_)
        return true;
    on_key_part(part, size, ec);
    next_on_path_ = key_equal_ == where_->steps()[on_path_ - 1].size();
    key_equal_ = 0;
    if (next_on_path_) // what stood under the same key before does not count any more
        state_ = number_state::absent;
    return true;
}

WEIR_DECL bool number_finder::on_int64(std::int64_t value, text, error_code&) noexcept {
    if (value < 0)
        return scalar(number_state::negative);
    auto const whole = static_cast<std::uint64_t>(value);
    return scalar(whole > largest_number ? number_state::too_large : number_state::found, whole);
}

WEIR_DECL bool number_finder::on_uint64(std::uint64_t, text, error_code&) noexcept {
    return scalar(number_state::too_large); // above 2^63
}

WEIR_DECL bool number_finder::on_double(double value, text, error_code&) noexcept {
    if (value < 0)
        return scalar(number_state::negative);
    if (std::isnan(value)) // Boost.JSON multiplies 0e999 by what is no number any more
        return scalar(number_state::found, 0);
    auto const whole = std::ceil(value);
    if (!(whole <= static_cast<double>(largest_number)))
        return scalar(number_state::too_large);
    return scalar(number_state::found, static_cast<std::uint64_t>(whole));
}

inline boost::json::parse_options lenient_options() noexcept {
    boost::json::parse_options options;
    options.max_depth = 256;
    options.allow_invalid_utf8 = true;
    return options;
}

} // namespace detail

WEIR_DECL json_number_reader::json_number_reader(json_pointer const& where)
    : parser_(detail::lenient_options(), where) {}

WEIR_DECL void json_number_reader::reset() noexcept {
    parser_.reset();
    parser_.handler().reset();
    malformed_ = false;
}

WEIR_DECL void json_number_reader::write(bool more, std::string_view piece) {
    boost::system::error_code ec;
    auto const taken = parser_.write_some(more, piece.data(), piece.size(), ec);
    malformed_ = (ec && ec != boost::json::error::incomplete) || taken != piece.size();
}

WEIR_DECL void json_number_reader::feed(std::string_view piece) {
    if (!malformed_ && !piece.empty())
        write(true, piece);
}

WEIR_DECL bool json_number_reader::finish() {
    if (!malformed_)
        write(false, std::string_view{""});
    return !malformed_ && parser_.done();
}

} // namespace weir::http
