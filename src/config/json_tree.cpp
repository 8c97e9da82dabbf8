#include "config/json_tree.hpp"

#include <algorithm>
#include <iterator>
#include <utility>

namespace weir::config {
namespace {

constexpr std::size_t max_depth = 64; // said in a message below

/// Reads a string and tells how far it came: nlohmann::json gives its SAX handler no positions, but it takes its input
/// one byte at a time and fires each event right after the last byte of its token.
class counting_iterator {
public:
    using iterator_category = std::input_iterator_tag;
    using value_type = char;
    using difference_type = std::ptrdiff_t;
    using pointer = char const*;
    using reference = char const&;

    counting_iterator(char const* at, std::size_t* consumed)
        : at_(at)
        , consumed_(consumed) {}
    reference operator*() const noexcept { return *at_; }
    counting_iterator& operator++() noexcept {
        ++at_;
        ++*consumed_;
        return *this;
    }
    counting_iterator operator++(int) noexcept {
        auto before = *this;
        ++*this;
        return before;
    }
    friend bool operator==(counting_iterator const& a, counting_iterator const& b) noexcept { return a.at_ == b.at_; }
    friend bool operator!=(counting_iterator const& a, counting_iterator const& b) noexcept { return !(a == b); }

private:
    char const* at_;
    std::size_t* consumed_;
};

/// nlohmann::json's message without what is said elsewhere (its own name, the place) and without the text it last read,
/// which may hold a secret.
std::string plain_words(std::string_view what) {
    if (auto end = what.find("] "); what.starts_with('[') && end != what.npos)
        what.remove_prefix(end + 2);
    if (auto end = what.find(": "); what.starts_with("parse error at") && end != what.npos)
        what.remove_prefix(end + 2);
    std::string words(what);
    if (auto read = words.find("; last read: "); read != words.npos) {
        auto rest = words.rfind("; expected ");
        words.erase(read, rest == words.npos || rest < read ? words.npos : rest - read);
    }
    return words;
}

/// Builds the tree from nlohmann::json's events.
class tree_builder : public nlohmann::json::json_sax_t {
public:
    tree_builder(std::string_view text, std::size_t const& consumed, json_tree& out)
        : text_(text)
        , consumed_(consumed)
        , out_(out) {}

    bool null() override { return add(nullptr); }
    bool boolean(bool value) override { return add(value); }
    bool number_integer(number_integer_t value) override { return add(value); }
    bool number_unsigned(number_unsigned_t value) override { return add(value); }
    bool number_float(number_float_t value, string_t const&) override { return add(value); }
    bool string(string_t& value) override { return add(std::move(value)); }
    bool binary(binary_t&) override { return false; }
    bool start_object(std::size_t) override { return open(node::type::object); }
    bool start_array(std::size_t) override { return open(node::type::array); }
    bool end_object() override { return close(); }
    bool end_array() override { return close(); }

    bool key(string_t& value) override {
        levels_.back().key = std::move(value);
        levels_.back().key_offset = next_token();
        return true;
    }

    bool parse_error(std::size_t position, std::string const&, nlohmann::json::exception const& error) override {
        fail(position > 0 ? position - 1 : 0, plain_words(error.what()));
        return false;
    }

private:
    /// A container under construction. Held by value and moved into its parent when it ends.
    struct level {
        node value;
        std::string key;
        std::size_t key_offset = 0;
    };

    /// The offset of the token whose event is being handled.
    std::size_t next_token() noexcept {
        auto at = text_.find_first_not_of(" \t\r\n,:", last_end_);
        last_end_ = consumed_;
        return std::min(at, text_.size());
    }

    bool add(nlohmann::json value) {
        node leaf;
        leaf.offset = next_token();
        leaf.scalar = std::move(value);
        attach(std::move(leaf));
        return true;
    }

    bool open(node::type kind) {
        auto offset = next_token();
        if (levels_.size() == max_depth) {
            fail(offset, "nested deeper than 64 levels");
            return false;
        }
        level next;
        next.value.kind = kind;
        next.value.offset = offset;
        levels_.push_back(std::move(next));
        return true;
    }

    bool close() {
        last_end_ = consumed_;
        auto done = std::move(levels_.back().value);
        levels_.pop_back();
        attach(std::move(done));
        return true;
    }

    void attach(node value) {
        if (levels_.empty()) {
            out_.root = std::move(value);
            return;
        }
        auto& parent = levels_.back();
        if (parent.value.is_array()) {
            parent.value.elements.push_back(std::move(value));
            return;
        }
        auto& members = parent.value.members;
        auto first = std::find_if(members.begin(), members.end(), [&](member const& m) { return m.key == parent.key; });
        if (first == members.end()) {
            members.push_back({std::move(parent.key), parent.key_offset, std::move(value)});
            return;
        }
        out_.issues.push_back(
            {parent.key_offset, path() + pointer_step(parent.key),
             "written twice: the first is in line " + std::to_string(position_of(text_, first->key_offset).line)});
    }

    /// The JSON pointer of the innermost container.
    std::string path() const {
        std::string pointer;
        for (std::size_t i = 0; i + 1 < levels_.size(); ++i)
            pointer += levels_[i].value.is_array() ? pointer_step(std::to_string(levels_[i].value.elements.size()))
                                                   : pointer_step(levels_[i].key);
        return pointer;
    }

    void fail(std::size_t offset, std::string message) {
        out_.issues.assign(1, {std::min(offset, text_.size()), "", std::move(message)});
        out_.root.reset();
    }

    std::string_view text_;
    std::size_t const& consumed_;
    json_tree& out_;
    std::size_t last_end_ = 0;
    std::vector<level> levels_;
};

} // namespace

std::string_view node::type_name() const noexcept {
    switch (kind) {
    case type::object:
        return "an object";
    case type::array:
        return "an array";
    case type::scalar:
        break;
    }
    if (scalar.is_string())
        return "a string";
    if (scalar.is_number())
        return "a number";
    return scalar.is_boolean() ? "a boolean" : "null";
}

position position_of(std::string_view text, std::size_t offset) noexcept {
    position place;
    for (auto byte : text.substr(0, offset)) {
        if (byte == '\n') {
            ++place.line;
            place.column = 1;
        } else if ((static_cast<unsigned char>(byte) & 0xC0) != 0x80) {
            ++place.column;
        }
    }
    return place;
}

json_tree parse_json(std::string_view text) {
    json_tree tree;
    std::size_t consumed = 0;
    tree_builder builder(text, consumed, tree);
    counting_iterator first(text.data(), &consumed);
    counting_iterator last(text.data() + text.size(), &consumed);
    // A false return means that the builder has recorded why.
    if (!nlohmann::json::sax_parse(first, last, &builder) && tree.issues.empty())
        tree.issues.push_back({consumed, "", "not JSON"});
    return tree;
}

std::string pointer_step(std::string_view key) {
    std::string step = "/";
    for (char c : key) {
        if (c == '~')
            step += "~0";
        else if (c == '/')
            step += "~1";
        else
            step += c;
    }
    return step;
}

} // namespace weir::config
