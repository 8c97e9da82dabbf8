// The one translation unit of weir::compiled: every non-template function of the library, and of Asio and Beast.
#include <boost/asio/impl/src.hpp>
#include <boost/asio/ssl/impl/src.hpp>
#include <boost/beast/src.hpp>
#include <weir/src.hpp>
