# The library: weir::weir (header-only), weir::compiled (the same headers compiled once), and their installation.

include(CMakePackageConfigHelpers)
find_package(Boost 1.81 REQUIRED COMPONENTS headers json url)
find_package(Hiredis 0.14.1 MODULE REQUIRED)
find_package(OpenSSL REQUIRED COMPONENTS SSL Crypto)
find_package(Threads REQUIRED)

add_library(weir INTERFACE)
add_library(weir::weir ALIAS weir)
target_compile_features(weir INTERFACE cxx_std_20)
target_include_directories(weir SYSTEM INTERFACE
  $<BUILD_INTERFACE:${WEIR_GENERATED_INCLUDE}>
  $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
target_include_directories(weir INTERFACE $<BUILD_INTERFACE:${CMAKE_CURRENT_SOURCE_DIR}/include>)
target_link_libraries(weir INTERFACE Boost::headers $<LINK_ONLY:Boost::json> Boost::url Hiredis::hiredis OpenSSL::SSL OpenSSL::Crypto Threads::Threads)

add_library(weir_compiled STATIC "${CMAKE_CURRENT_SOURCE_DIR}/cmake/compiled.cpp")
add_library(weir::compiled ALIAS weir_compiled)
set_target_properties(weir_compiled PROPERTIES EXPORT_NAME compiled OUTPUT_NAME weir POSITION_INDEPENDENT_CODE ON)
target_link_libraries(weir_compiled PUBLIC weir PRIVATE $<BUILD_INTERFACE:weir_options>)
target_compile_definitions(weir_compiled PUBLIC
  WEIR_SEPARATE_COMPILATION BOOST_ASIO_SEPARATE_COMPILATION BOOST_BEAST_SEPARATE_COMPILATION
  # How many freed coroutine frames a thread keeps for the next: a request has up to ten at a time, and with Asio's
  # default of two each of the others is a trip to the allocator.
  BOOST_ASIO_RECYCLING_ALLOCATOR_CACHE_SIZE=16)

install(TARGETS weir weir_compiled EXPORT weir-targets)
install(EXPORT weir-targets NAMESPACE weir:: DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/weir)
install(DIRECTORY include/weir DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(DIRECTORY "${WEIR_GENERATED_INCLUDE}/weir" DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
configure_package_config_file(cmake/weir-config.cmake.in "${CMAKE_CURRENT_BINARY_DIR}/weir-config.cmake"
  INSTALL_DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/weir)
write_basic_package_version_file("${CMAKE_CURRENT_BINARY_DIR}/weir-config-version.cmake" COMPATIBILITY SameMinorVersion)
install(FILES "${CMAKE_CURRENT_BINARY_DIR}/weir-config.cmake" "${CMAKE_CURRENT_BINARY_DIR}/weir-config-version.cmake"
              cmake/FindHiredis.cmake
        DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/weir)
# Relative to the file itself, so that an installation may be moved, or staged under another prefix.
file(RELATIVE_PATH WEIR_PC_PREFIX "/${CMAKE_INSTALL_LIBDIR}/pkgconfig" "/")
configure_file(cmake/weir.pc.in weir.pc @ONLY)
install(FILES "${CMAKE_CURRENT_BINARY_DIR}/weir.pc" DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
