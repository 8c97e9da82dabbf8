#include "config/upstream_fields.hpp"

namespace weir::config {
namespace {

using std::chrono::hours;

template <milliseconds upstream::*Member>
void read_upstream_timeout(reader& in, node const& v, upstream& out) {
    set_duration(in, v, out.*Member, milliseconds{1}, hours{24});
}

constexpr std::array timeout_fields{
    field<upstream>{"connect", read_upstream_timeout<&upstream::connect_timeout>},
    field<upstream>{"first_byte", read_upstream_timeout<&upstream::first_byte_timeout>},
    field<upstream>{"idle", read_upstream_timeout<&upstream::idle_timeout>},
    field<upstream>{"per_try", read_upstream_timeout<&upstream::per_try_timeout>},
    field<upstream>{"total", read_upstream_timeout<&upstream::total_timeout>},
};

void read_targets(reader& in, node const& v, upstream& out) {
    read_array(in, v, 1, [&](node const& element, std::size_t) {
        auto parsed = read_parsed(in, element, parse_target);
        if (!parsed)
            return;
        for (auto const& other : out.targets)
            if (other.host == parsed->host && other.port == parsed->port)
                return in.error(element, "\"" + parsed->text + "\" is there already");
        out.targets.push_back(std::move(*parsed));
    });
}

void read_retry_statuses(reader& in, node const& v, retry_settings& out) {
    read_array(in, v, 0, [&](node const& element, std::size_t) {
        auto const status = read_number(in, element, 500, 599);
        if (status && std::find(out.statuses.begin(), out.statuses.end(), *status) != out.statuses.end())
            return in.error(element, "is there already");
        if (status)
            out.statuses.push_back(static_cast<unsigned>(*status));
    });
}

constexpr std::array retry_fields{
    field<retry_settings>{
        "attempts", [](reader& in, node const& v, retry_settings& out) { set_number(in, v, out.attempts, 1, 10); }},
    field<retry_settings>{"budget",
                          [](reader& in, node const& v, retry_settings& out) { set_real(in, v, out.budget, 0, 10); }},
    field<retry_settings>{"statuses", read_retry_statuses},
};

void read_retries(reader& in, node const& v, upstream& out) {
    out.retries.attempts = 2; // who speaks of retries wants some
    read_object(in, v, out.retries, retry_fields);
}

void read_health_path(reader& in, node const& v, health_settings& out) {
    auto text = read_text(in, v);
    if (!text)
        return;
    bool const plain = std::all_of(text->begin(), text->end(), [](char c) { return c > ' ' && c < 127; });
    if (!text->starts_with('/') || !plain)
        return in.error(v, "must be a path that starts with \"/\", of visible ASCII characters");
    out.path = std::move(*text);
}

template <milliseconds health_settings::*Member>
void read_health_time(reader& in, node const& v, health_settings& out) {
    set_duration(in, v, out.*Member, milliseconds{100}, hours{1});
}

constexpr std::array health_fields{
    field<health_settings>{"path", read_health_path, presence::required},
    field<health_settings>{"interval", read_health_time<&health_settings::interval>},
    field<health_settings>{"timeout", read_health_time<&health_settings::timeout>},
    field<health_settings>{
        "unhealthy_after",
        [](reader& in, node const& v, health_settings& out) { set_number(in, v, out.unhealthy_after, 1, 100); }},
    field<health_settings>{"healthy_after", [](reader& in, node const& v,
                                               health_settings& out) { set_number(in, v, out.healthy_after, 1, 100); }},
};

void read_health(reader& in, node const& v, upstream& out) { read_object(in, v, out.health.emplace(), health_fields); }

constexpr std::array ejection_fields{
    field<ejection_settings>{
        "after", [](reader& in, node const& v, ejection_settings& out) { set_number(in, v, out.after, 0, 1'000'000); }},
    field<ejection_settings>{"for",
                             [](reader& in, node const& v, ejection_settings& out) {
                                 set_duration(in, v, out.lasts, milliseconds{1}, hours{24});
                             }},
    field<ejection_settings>{
        "max_share", [](reader& in, node const& v, ejection_settings& out) { set_real(in, v, out.max_share, 0, 1); }},
};

void read_ejection(reader& in, node const& v, upstream& out) { read_object(in, v, out.ejection, ejection_fields); }

constexpr std::array client_tls_fields{
    field<client_tls>{"ca_file", read_file_name<&client_tls::ca_file>},
    field<client_tls>{"server_name",
                      [](reader& in, node const& v, client_tls& out) {
                          if (auto text = read_text(in, v))
                              out.server_name = std::move(*text);
                      }},
    field<client_tls>{"verify", [](reader& in, node const& v, client_tls& out) { set_boolean(in, v, out.verify); }},
    field<client_tls>{"certificate", read_file_name<&client_tls::certificate>},
    field<client_tls>{"key", read_file_name<&client_tls::key>},
};

void read_client_tls(reader& in, node const& v, upstream& out) {
    read_object(in, v, out.tls, client_tls_fields);
    if (out.tls.certificate.empty() != out.tls.key.empty())
        in.error(v, "\"certificate\" and \"key\" belong together");
    if (!out.tls.verify && !out.tls.ca_file.empty())
        in.error(v, "\"ca_file\" says nothing where \"verify\" is false");
}

/// An upstream under construction and what it may refer to.
struct draft {
    upstream& value;
    config const& whole;
};

void read_fallback_upstream(reader& in, node const& v, draft& out) {
    auto const index = read_reference(in, v, "upstream", out.whole.upstreams,
                                      [](upstream const& u) -> std::string_view { return u.name; });
    if (index && &out.whole.upstreams[*index] == &out.value)
        return in.error(v, "this upstream itself: name another");
    out.value.fallback_upstream = index;
}

void read_content_type(reader& in, node const& v, fallback_answer& out) {
    auto text = read_text(in, v);
    if (!text)
        return;
    if (!std::all_of(text->begin(), text->end(), [](char c) { return c >= ' ' && c < 127; }))
        return in.error(v, "must be one line of ASCII characters");
    out.content_type = std::move(*text);
}

template <auto Read>
void read_answer(reader& in, node const& v, draft& out) {
    if (!out.value.fallback)
        out.value.fallback.emplace();
    Read(in, v, *out.value.fallback);
}

void read_fallback_status(reader& in, node const& v, fallback_answer& out) { set_number(in, v, out.status, 200, 599); }

void read_fallback_body(reader& in, node const& v, fallback_answer& out) {
    auto text = read_text(in, v);
    if (text && text->size() > 64 * 1024)
        in.error(v, "at most 64KiB");
    else if (text)
        out.body = std::move(*text);
}

constexpr std::array fallback_fields{
    field<draft>{"upstream", read_fallback_upstream},
    field<draft>{"status", read_answer<read_fallback_status>},
    field<draft>{"content_type", read_answer<read_content_type>},
    field<draft>{"body", read_answer<read_fallback_body>},
};

void read_fallback(reader& in, node const& v, draft& out) {
    read_object(in, v, out, fallback_fields);
    bool const another = v.is_object() && find_member(v, "upstream");
    if (another && out.value.fallback)
        in.error(v, "either another upstream, or an answer (status, content_type, body)");
    if (v.is_object() && v.members.empty())
        in.error(v, "says nothing: name an upstream, or an answer (status, content_type, body)");
}

template <std::optional<std::size_t> upstream::*Member>
void read_circuit_name(reader& in, node const& v, draft& out) {
    out.value.*Member = read_reference(in, v, "circuit", out.whole.circuits,
                                       [](circuit_breaker const& c) -> std::string_view { return c.name; });
}

/// A field that concerns the upstream alone.
template <auto Read>
void read_own(reader& in, node const& v, draft& out) {
    Read(in, v, out.value);
}

void read_timeouts(reader& in, node const& v, upstream& out) {
    read_object(in, v, out, timeout_fields);
    if (out.total_timeout.count() > 0 && out.per_try_timeout >= out.total_timeout)
        in.error(v, "\"per_try\" says nothing: it is not shorter than \"total\"");
}

constexpr std::array upstream_fields{
    field<draft>{"targets", read_own<read_targets>, presence::required},
    field<draft>{"timeouts", read_own<read_timeouts>},
    field<draft>{
        "balance",
        read_own<[](reader& in, node const& v, upstream& out) { set_parsed(in, v, out.balance, parse_balance); }>},
    field<draft>{
        "hash_key",
        read_own<[](reader& in, node const& v, upstream& out) { set_parsed(in, v, out.hash_key, parse_hash_source); }>},
    field<draft>{"circuit", read_circuit_name<&upstream::circuit>},
    field<draft>{"target_circuit", read_circuit_name<&upstream::target_circuit>},
    field<draft>{"retries", read_own<read_retries>},
    field<draft>{"health", read_own<read_health>},
    field<draft>{"ejection", read_own<read_ejection>},
    field<draft>{"fallback", read_fallback},
    field<draft>{"tls", read_own<read_client_tls>},
};

} // namespace

void read_upstream(reader& in, node const& value, config const& whole, upstream& out) {
    draft made{out, whole};
    read_object(in, value, made, upstream_fields);
    if (!value.is_object())
        return;
    auto const complain = [&](std::string_view name, bool when, std::string text) {
        auto const* found = find_member(value, name);
        if (!found || !when)
            return;
        reader::step into(in, name);
        in.error(*found, std::move(text));
    };
    complain("targets", out.targets.size() > max_targets, "at most " + std::to_string(max_targets) + " targets");
    complain("hash_key", out.balance != balance::consistent_hash,
             "says nothing unless \"balance\" is \"consistent_hash\"");
    complain("tls", std::none_of(out.targets.begin(), out.targets.end(), [](target const& t) { return t.tls; }),
             "says nothing: no target is https://");
    complain("retries", out.retries.attempts == 1,
             "one attempt is none more: leave \"retries\" out, or give \"attempts\" of 2 or more");
}

std::vector<object_fields> describe_upstream_fields() {
    return {describe("client_tls", client_tls_fields), describe("upstream", upstream_fields),
            describe("timeouts", timeout_fields),      describe("retries", retry_fields),
            describe("health", health_fields),         describe("ejection", ejection_fields),
            describe("fallback", fallback_fields)};
}

} // namespace weir::config
