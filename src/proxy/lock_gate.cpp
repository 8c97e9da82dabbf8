#include "proxy/lock_gate.hpp"

#include "config/lock_fields.hpp"

#include <weir/http/detail/bytes.hpp>
#include <weir/lock/manager.hpp>

#include <boost/asio/bind_cancellation_slot.hpp>

namespace weir::proxy {

lock_gate::key_found lock_gate::append_key(std::string& name, config::lock_key const& key, exchange const& x,
                                           http::client_address const& who) {
    using type = config::lock_key::type;
    auto const found = [&](std::string_view value) {
        if (value.empty())
            return key_found::missing;
        name.append("/").append(value);
        return key_found::yes;
    };
    switch (key.from) {
    case type::header: {
        bool twice = false;
        auto const* const field = x.request.find_only(key.name, twice);
        if (twice)
            return key_found::twice;
        return found(field != nullptr ? field->value : std::string_view{});
    }
    case type::attribute:
        for (auto const& [attribute, value] : x.attributes)
            if (attribute == key.name)
                return found(value);
        return key_found::missing;
    case type::user:
        return found(x.user);
    case type::ip:
        return found(who.key);
    case type::path:
        name.append(x.target.key); // begins with a slash
        return key_found::yes;
    case type::everyone:
        break;
    }
    return key_found::yes;
}

lock_gate::verdict lock_gate::refuse(exchange& x, unsigned status, std::string detail) {
    x.status = status;
    x.detail = std::move(detail);
    return verdict::refused;
}

awaitable<lock_gate::verdict> lock_gate::enter(exchange& x, client_stream& client, http::client_address const& who) {
    auto const index = *config_.routes[x.route].lock;
    auto const& how = config_.locks[index];
    std::string name = how.name;
    auto const key = append_key(name, how.key, x, who);
    if (key == key_found::twice)
        co_return refuse(x, 400, "the field \"" + how.key.name + "\" stands twice: which lock is meant?");
    if (key == key_found::missing && how.on_missing_key == config::lock::missing_key::pass)
        co_return verdict::enter;
    if (key == key_found::missing)
        co_return refuse(x, 400, "the lock \"" + how.name + "\" wants a value of " + format_lock_key(how.key));

    x.lock = std::make_unique<lock_hold>(how.name);
    auto const began = boot_clock::now();
    lock::lock_options options;
    options.ttl = how.ttl;
    options.on_behalf_of = x.request_id;
    // Whether it is free is known in one round trip, as is that Redis is away; who has to wait then pays for another.
    auto [ec, lease] = co_await locks_.async_lock(name, options, use_result);
    if (ec == errc::lock_busy && how.wait.count() > 0) {
        options.wait = how.wait;
        client.watch(*x.lock);
        auto [end, granted] =
            co_await locks_.async_lock(name, options, asio::bind_cancellation_slot(x.lock->slot(), use_result));
        client.stop_watching();
        ec = end;
        lease = std::move(granted);
        if (ec == errc::lock_busy)
            counts_.locks[index].wait.observe(boot_clock::now() - began);
    }
    x.lock->set_waited(boot_clock::now() - began);
    if (ec == errc::lock_busy)
        counts_.locks[index].refused.increment();
    if (ec)
        co_return explain(x, how, ec, client.gone());
    x.lock->take(std::move(lease), x.upstream);
    co_return verdict::enter;
}

lock_gate::verdict lock_gate::explain(exchange& x, config::lock const& how, error_code why, bool gone) const {
    if (gone)
        return verdict::gone;
    auto const lock = "the lock \"" + how.name + '"';
    if (why == errc::lock_busy && how.wait.count() > 0)
        return refuse(x, 409,
                      lock + " is still held by another request after " + std::to_string(how.wait.count()) + " ms");
    if (why == errc::lock_busy)
        return refuse(x, 409, lock + " is held by another request");
    if (how.pass_without_redis)
        return verdict::enter;
    return refuse(x, 503, lock + " cannot be taken at the moment: " + why.message());
}

} // namespace weir::proxy
