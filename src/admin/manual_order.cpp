#include "admin/manual_order.hpp"

#include "config/values.hpp"

#include <nlohmann/json.hpp>

namespace weir::admin {

manual_order read_manual_order(std::string const& body, std::string_view example, end_of_order end) {
    manual_order made;
    if (body.empty())
        return made;
    auto const said = nlohmann::json::parse(body, nullptr, false);
    if (!said.is_object()) {
        made.problem = "the body must be an object such as " + std::string(example);
        return made;
    }
    for (auto const& [name, value] : said.items()) {
        if (!value.is_string())
            made.problem = '"' + name + "\" must be a string";
        else if (name == "reason")
            made.why = value.get<std::string>();
        else if (name == "who")
            made.who = value.get<std::string>();
        else if (name == "for" && end == end_of_order::here_none)
            made.problem = "\"for\" is of what is forced or disabled: this has no end";
        else if (name == "for" && end == end_of_order::allowed)
            try {
                made.lasts = config::parse_duration(value.get<std::string>());
            } catch (config::value_error const& e) {
                made.problem = std::string("for: ") + e.what();
            }
        else if (end == end_of_order::none)
            made.problem = "unknown field \"" + name + '"' + config::suggest_name(name, {"reason", "who"});
        else
            made.problem = "unknown field \"" + name + '"' + config::suggest_name(name, {"reason", "for", "who"});
    }
    return made;
}

} // namespace weir::admin
