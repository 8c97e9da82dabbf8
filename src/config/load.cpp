#include "config/load.hpp"

#include "config/conflicts.hpp"
#include "config/fields.hpp"
#include "config/file.hpp"
#include "config/values.hpp"

namespace weir::config {
namespace {

constexpr std::size_t max_file_size = 16 * 1024 * 1024;

/// Where a JSON pointer leads, or to the innermost value on the way that exists.
std::size_t offset_of(node const& root, std::string_view pointer) {
    auto const* at = &root;
    while (!pointer.empty()) {
        auto step = pointer.substr(0, pointer.find('/', 1));
        pointer.remove_prefix(step.size());
        node const* next = nullptr;
        for (auto const& m : at->members)
            if (pointer_step(m.key) == step)
                next = &m.value;
        for (std::size_t i = 0; i < at->elements.size(); ++i)
            if (pointer_step(std::to_string(i)) == step)
                next = &at->elements[i];
        if (!next)
            break;
        at = next;
    }
    return at->offset;
}

loaded unreadable(std::string message) {
    loaded result;
    result.issues.push_back({issue::severity::error, "", 0, 0, std::move(message)});
    return result;
}

} // namespace

std::string to_string(issue const& value, std::string_view file) {
    std::string text(file);
    if (value.line > 0)
        text += ':' + std::to_string(value.line) + ':' + std::to_string(value.column);
    text += value.level == issue::severity::warning ? ": warning: " : ": ";
    if (!value.pointer.empty())
        text += value.pointer + ": ";
    return text + value.message;
}

loaded load_text(std::string_view text) {
    loaded result;
    auto tree = parse_json(text);
    auto add = [&](issue::severity level, std::size_t offset, std::string pointer, std::string message) {
        auto place = position_of(text, offset);
        result.issues.push_back({level, std::move(pointer), place.line, place.column, std::move(message)});
    };
    for (auto& found : tree.issues)
        add(issue::severity::error, found.offset, std::move(found.pointer), std::move(found.message));
    auto value = std::make_shared<config>();
    if (tree.root) {
        reader in(text);
        read_document(in, *tree.root, *value);
        for (auto& found : in.take_issues())
            result.issues.push_back(std::move(found));
        for (auto& found : find_conflicts(*value)) {
            auto offset = offset_of(*tree.root, found.pointer);
            add(found.level, offset, std::move(found.pointer), std::move(found.message));
        }
    }
    std::stable_sort(result.issues.begin(), result.issues.end(), [](issue const& a, issue const& b) {
        return std::pair(a.line, a.column) < std::pair(b.line, b.column);
    });
    if (std::any_of(result.issues.begin(), result.issues.end(), std::mem_fn(&issue::is_error)))
        // Next to an error (a misspelt reference, say) "not used" would be noise.
        std::erase_if(result.issues, [](issue const& i) { return !i.is_error(); });
    else
        result.value = std::move(value);
    return result;
}

loaded load_file(std::string const& path) {
    std::string text;
    try {
        text = read_file(path, max_file_size);
    } catch (value_error const& e) {
        return unreadable(e.what());
    }
    return load_text(text);
}

} // namespace weir::config
