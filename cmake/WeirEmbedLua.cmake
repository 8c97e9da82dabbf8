# Turns lua/*.lua into one header of string literals, so that neither the headers nor the program read a file at run time.
# A line `-- include parts/NAME.lua` stands for that file's text. Regenerated whenever a Lua file changes.

set(WEIR_GENERATED_INCLUDE "${CMAKE_CURRENT_BINARY_DIR}/generated/include")
set(_weir_lua_header "${WEIR_GENERATED_INCLUDE}/weir/detail/lua_sources.hpp")
file(GLOB _weir_lua CONFIGURE_DEPENDS "${CMAKE_CURRENT_SOURCE_DIR}/lua/*.lua")
file(GLOB _weir_lua_parts CONFIGURE_DEPENDS "${CMAKE_CURRENT_SOURCE_DIR}/lua/parts/*.lua")
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${_weir_lua} ${_weir_lua_parts})

set(_weir_text "#pragma once\n// Generated from lua/*.lua by cmake/WeirEmbedLua.cmake.\n\nnamespace weir::lua {\n")
foreach(_file IN LISTS _weir_lua)
  get_filename_component(_name "${_file}" NAME_WE)
  file(READ "${_file}" _source)
  foreach(_part IN LISTS _weir_lua_parts)
    get_filename_component(_part_name "${_part}" NAME)
    file(READ "${_part}" _part_source)
    string(REPLACE "-- include parts/${_part_name}\n" "${_part_source}" _source "${_source}")
  endforeach()
  string(APPEND _weir_text "\ninline constexpr char ${_name}[] = R\"__lua__(${_source})__lua__\";\n")
endforeach()
string(APPEND _weir_text "\n} // namespace weir::lua\n")
file(CONFIGURE OUTPUT "${_weir_lua_header}" CONTENT "${_weir_text}" @ONLY)
