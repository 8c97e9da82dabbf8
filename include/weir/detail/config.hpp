#pragma once

// WEIR_DECL stands before every non-template function. By default the library is header-only and it means `inline`;
// with WEIR_SEPARATE_COMPILATION defined for a whole program, exactly one translation unit includes <weir/src.hpp>
// (or the program links weir::compiled) and the others see declarations alone.
#if defined(WEIR_SEPARATE_COMPILATION)
#define WEIR_DECL
#else
#define WEIR_DECL inline
#define WEIR_HEADER_ONLY 1
#endif

#include <boost/asio/detail/config.hpp>

namespace boost::asio {}
namespace boost::beast::http {}

namespace weir {
namespace asio = boost::asio;
} // namespace weir
