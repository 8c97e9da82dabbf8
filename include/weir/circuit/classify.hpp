#pragma once

#include <weir/circuit/state.hpp>
#include <weir/error.hpp>

#include <exception>

namespace weir::circuit {

/// What an error says of the upstream, where nothing better is known: no error is a success; a cancelled call and
/// whatever Weir itself refused are ignored; that this side has no port, address or descriptor left, or cannot resolve
/// the name, is a failure of our own; all else is a failure.
WEIR_DECL outcome classify(error_code const& ec) noexcept;

/// The same of an exception: by the code of a `system_error` (of Boost or of the standard library); any other is a
/// failure. Precondition: `thrown` is not null.
WEIR_DECL outcome classify(std::exception_ptr const& thrown) noexcept;

} // namespace weir::circuit

#if defined(WEIR_HEADER_ONLY)
#include <weir/circuit/impl/classify.ipp>
#endif
