#pragma once

#include <weir/http/lock_filter.hpp>

namespace weir::http {

WEIR_DECL lock_filter::lock_filter(lock::manager& of, std::string name, key_function key, lock::lock_options how,
                                   std::vector<network> trusted)
    : locks_(of)
    , name_(std::move(name))
    , key_(std::move(key))
    , options_(how)
    , reader_(std::move(trusted)) {
    lock::validate(name_, options_, {});
}

WEIR_DECL std::optional<std::string> lock_filter::name_of(boost::beast::http::request_header<> const& request,
                                                          asio::ip::address const& peer, passage& way) {
    if (way.refused())
        return std::nullopt;
    refusal why;
    auto const what = reader_.read(request, peer, why);
    if (!what) {
        way.refuse(why.status, std::string{why.reason});
        return std::nullopt;
    }
    auto key = key_(*what);
    if (key)
        key->insert(0, name_ + '/');
    return key;
}

WEIR_DECL bool lock_filter::conclude(passage& way, error_code& ec, lock::lease got) const {
    if (way.refused())
        return false;
    auto const failure = std::exchange(ec, {});
    if (!failure) {
        way.lease_ = std::move(got);
        return true;
    }
    if (failure == errc::cancelled || failure == errc::cancelled_unsent) {
        way.refuse(503, "the request was given up");
        ec = failure;
    } else if (failure == errc::lock_busy) {
        way.refuse(409, "another request holds the lock \"" + name_ + "\"");
    } else {
        way.refuse(503, "the lock \"" + name_ + "\" cannot be taken at the moment: " + failure.message());
    }
    return false;
}

} // namespace weir::http
