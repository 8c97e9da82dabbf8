#include "admin/api.hpp"

#include <boost/url/parse.hpp>
#include <boost/url/url_view.hpp>

#include <algorithm>
#include <charconv>

namespace weir::admin {

std::optional<std::string_view> api_request::parameter(std::string_view name) const noexcept {
    for (auto const& [key, value] : query)
        if (key == name)
            return value;
    return std::nullopt;
}

std::optional<api_request> parse_api_target(std::string_view target) {
    auto const parsed = boost::urls::parse_origin_form({target.data(), target.size()});
    if (!parsed)
        return std::nullopt;
    api_request made;
    for (auto const& segment : parsed->segments())
        made.path.push_back(segment);
    if (made.path.size() < 2 || made.path.front() != "v1")
        return std::nullopt;
    made.path.erase(made.path.begin());
    for (auto const& each : parsed->params())
        made.query.emplace_back(each.key, each.has_value ? each.value : std::string{});
    return made;
}

std::optional<std::size_t> number_parameter(api_request const& asked, std::string_view name, std::size_t otherwise,
                                            std::size_t most) {
    auto const text = asked.parameter(name);
    if (!text)
        return otherwise;
    std::size_t value = 0;
    auto const [end, ec] = std::from_chars(text->data(), text->data() + text->size(), value);
    if (ec != std::errc{} || end != text->data() + text->size())
        return std::nullopt;
    return std::min(value, most);
}

} // namespace weir::admin
