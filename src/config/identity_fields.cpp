#include "config/identity_fields.hpp"

#include "config/file.hpp"

namespace weir::config {
namespace {

/// For keys and key sets.
constexpr std::size_t max_key_file = std::size_t{16} << 20;

/// `Made(text)` of a file, or nothing after a complaint that names it.
template <class Made>
std::optional<Made> read_key_file(reader& in, node const& v, std::string& file) {
    auto name = read_text(in, v, "the name of a file");
    if (!name)
        return {};
    file = std::move(*name);
    try {
        return Made(read_file(file, max_key_file));
    } catch (std::exception const& e) { // value_error or std::invalid_argument
        in.error(v, file + ": " + e.what());
        return {};
    }
}

void read_header(reader& in, node const& v, identity_source& out) { set_parsed(in, v, out.header, parse_field_name); }

// --- API keys -------------------------------------------------------------------------------------------------------

constexpr std::array api_key_fields{
    field<identity_source>{"header", read_header},
    field<identity_source>{"keys_file",
                           [](reader& in, node const& v, identity_source& out) {
                               if (auto keys = read_key_file<http::api_keys>(in, v, out.file))
                                   out.keys = std::make_shared<http::api_keys const>(std::move(*keys));
                           },
                           presence::required},
    field<identity_source>{"required",
                           [](reader& in, node const& v, identity_source& out) { set_boolean(in, v, out.required); }},
};

void read_api_key(reader& in, node const& v, identity_source& out) {
    out.from = identity_source::type::api_key;
    out.header = "x-api-key";
    read_object(in, v, out, api_key_fields);
}

// --- JSON Web Tokens ------------------------------------------------------------------------------------------------

struct jwt_draft {
    identity_source& value;
    std::optional<http::jwk_set> keys;
};

void read_claim(reader& in, node const& v, std::string& out) {
    auto text = read_text(in, v);
    if (text && !http::is_identity_text(*text))
        in.error(v, "must be the name of a claim");
    else if (text)
        out = std::move(*text);
}

/// One text, or several.
template <std::vector<std::string> http::jwt_rules::*Member>
void read_texts(reader& in, node const& v, jwt_draft& out) {
    auto const take = [&](node const& one) {
        auto text = read_text(in, one, "a text or an array of them");
        if (text && text->empty())
            in.error(one, "must not be empty");
        else if (text)
            (out.value.rules.*Member).push_back(std::move(*text));
    };
    if (!v.is_array())
        return take(v);
    read_array(in, v, 1, [&](node const& element, std::size_t) { take(element); });
}

void read_leeway(reader& in, node const& v, jwt_draft& out) {
    milliseconds leeway{out.value.rules.leeway};
    set_duration(in, v, leeway, milliseconds{0}, std::chrono::minutes{10});
    out.value.rules.leeway = std::chrono::duration_cast<std::chrono::seconds>(leeway);
}

constexpr std::array jwt_fields{
    field<jwt_draft>{"header", [](reader& in, node const& v, jwt_draft& out) { read_header(in, v, out.value); }},
    field<jwt_draft>{"jwks_file",
                     [](reader& in, node const& v, jwt_draft& out) {
                         out.keys = read_key_file<http::jwk_set>(in, v, out.value.file);
                     },
                     presence::required},
    field<jwt_draft>{"user",
                     [](reader& in, node const& v, jwt_draft& out) { read_claim(in, v, out.value.rules.user); }},
    field<jwt_draft>{"issuer", read_texts<&http::jwt_rules::issuers>},
    field<jwt_draft>{"audience", read_texts<&http::jwt_rules::audiences>},
    field<jwt_draft>{"attributes", read_texts<&http::jwt_rules::attributes>},
    field<jwt_draft>{"leeway", read_leeway},
    field<jwt_draft>{"required",
                     [](reader& in, node const& v, jwt_draft& out) { set_boolean(in, v, out.value.required); }},
};

void read_jwt(reader& in, node const& v, identity_source& out) {
    out.from = identity_source::type::jwt;
    out.header = "authorization";
    jwt_draft draft{out, {}};
    read_object(in, v, draft, jwt_fields);
    if (draft.keys)
        out.tokens = std::make_shared<http::jwt_verifier const>(std::move(*draft.keys), out.rules);
}

// --- the list -------------------------------------------------------------------------------------------------------

constexpr std::array identity_fields{
    field<identity_source>{"header",
                           [](reader& in, node const& v, identity_source& out) {
                               out.from = identity_source::type::header;
                               read_header(in, v, out);
                           }},
    field<identity_source>{"api_key", read_api_key},
    field<identity_source>{"jwt", read_jwt},
};

} // namespace

void read_identity_source(reader& in, node const& v, identity_source& out) {
    out.from = identity_source::type::header; // without a name: what cannot be read must not seem to be "ip"
    if (v.is_object()) {
        read_object(in, v, out, identity_fields);
        if (v.members.size() != 1)
            in.error(v, R"(must hold one of "header", "api_key" and "jwt": several sources are several elements)");
        return;
    }
    if (!v.is_string())
        return in.wrong_type(v, R"("ip", {"header": NAME}, {"api_key": {...}} or {"jwt": {...}})");
    auto text = read_text(in, v);
    if (text && *text == "ip")
        out.from = identity_source::type::ip;
    else if (text)
        in.error(v, "unknown value \"" + *text + "\": write \"ip\" or {\"header\": \"" + *text + "\"}");
}

std::vector<object_fields> describe_identity_fields() {
    return {describe("identity", identity_fields), describe("api_key", api_key_fields), describe("jwt", jwt_fields)};
}

} // namespace weir::config
