#include "config/sharing_fields.hpp"

namespace weir::config {
namespace {

constexpr std::size_t least_answer = 1024;
constexpr std::size_t largest_answer = std::size_t{1} << 20;

template <auto Member, class T>
void read_field_names(reader& in, node const& v, T& out) {
    (out.*Member).clear();
    read_array(in, v, 0, [&](node const& element, std::size_t) {
        auto name = read_parsed(in, element, parse_field_name);
        if (!name)
            return;
        auto& known = out.*Member;
        if (std::find(known.begin(), known.end(), *name) != known.end())
            return in.error(element, "is there already");
        known.push_back(std::move(*name));
    });
}

constexpr std::array idempotency_fields{
    field<idempotency>{"required",
                       [](reader& in, node const& v, idempotency& out) { set_boolean(in, v, out.required); }},
    field<idempotency>{"keep",
                       [](reader& in, node const& v, idempotency& out) {
                           set_duration(in, v, out.keep, milliseconds{1000}, std::chrono::hours{24 * 366});
                       }},
    field<idempotency>{"max_answer",
                       [](reader& in, node const& v, idempotency& out) {
                           set_size(in, v, out.max_answer, least_answer, largest_answer);
                       }},
    field<idempotency>{"fields",
                       [](reader& in, node const& v, idempotency& out) {
                           read_field_names<&idempotency::fields>(in, v, out);
                           for (auto const* own : {"set-cookie", "content-length", "connection", "transfer-encoding"})
                               if (std::find(out.fields.begin(), out.fields.end(), own) != out.fields.end())
                                   in.error(v, '"' + std::string(own) + "\" is of one answer alone, and never kept");
                       }},
    field<idempotency>{"on_redis_failure",
                       [](reader& in, node const& v, idempotency& out) {
                           set_choice(in, v, out.pass_without_redis, "closed", "open");
                       }},
};

constexpr std::array single_flight_fields{
    field<single_flight>{"vary", read_field_names<&single_flight::vary, single_flight>},
    field<single_flight>{"between_users",
                         [](reader& in, node const& v, single_flight& out) { set_boolean(in, v, out.between_users); }},
    field<single_flight>{"wait",
                         [](reader& in, node const& v, single_flight& out) {
                             set_duration(in, v, out.wait, milliseconds{10}, std::chrono::hours{1});
                         }},
    field<single_flight>{"max_answer",
                         [](reader& in, node const& v, single_flight& out) {
                             set_size(in, v, out.max_answer, least_answer, largest_answer);
                         }},
};

} // namespace

void read_idempotency(reader& in, node const& value, idempotency& out) {
    read_object(in, value, out, idempotency_fields);
}

void read_single_flight(reader& in, node const& value, single_flight& out) {
    read_object(in, value, out, single_flight_fields);
}

std::vector<object_fields> describe_sharing_fields() {
    return {describe("idempotency", idempotency_fields), describe("single_flight", single_flight_fields)};
}

} // namespace weir::config
