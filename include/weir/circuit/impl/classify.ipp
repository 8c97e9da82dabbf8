#pragma once

#include <weir/circuit/classify.hpp>

#include <boost/asio/error.hpp>
#include <boost/system/system_error.hpp>

namespace weir::circuit {

WEIR_DECL outcome classify(error_code const& ec) noexcept {
    namespace error = asio::error;
    namespace posix = boost::system::errc;
    if (!ec)
        return outcome::success;
    if (ec == error::operation_aborted || ec == errc::cancelled || ec == errc::cancelled_unsent ||
        ec == errc::client_closed || ec == errc::queue_full || ec == kind::rejected)
        return outcome::ignored;
    if (ec == error::host_not_found || ec == error::host_not_found_try_again || ec == error::no_recovery ||
        ec == error::no_data || ec == error::service_not_found || ec == posix::address_not_available ||
        ec == posix::address_in_use || ec == posix::too_many_files_open || ec == posix::too_many_files_open_in_system ||
        ec == posix::no_buffer_space || ec == posix::network_down || ec == posix::permission_denied)
        return outcome::local_failure;
    return outcome::failure;
}

WEIR_DECL outcome classify(std::exception_ptr const& thrown) noexcept {
    try {
        std::rethrow_exception(thrown);
    } catch (boost::system::system_error const& e) {
        return classify(e.code());
    } catch (std::system_error const& e) {
        return classify(error_code(e.code()));
    } catch (...) {
        return outcome::failure;
    }
}

} // namespace weir::circuit
