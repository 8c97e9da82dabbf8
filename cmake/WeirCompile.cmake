# How everything in this tree is compiled: standard, warnings, sanitizers, compiler cache.

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)

# Most of what a file costs is what its headers instantiate: several files in one translation unit take a third of the
# time. Off where each file is to be compiled by itself, as by the preset `debug`.
if(PROJECT_IS_TOP_LEVEL AND NOT DEFINED CMAKE_UNITY_BUILD)
  set(CMAKE_UNITY_BUILD ON)
endif()

# What goes into one translation unit: files of one subject, the first word of their name or else their folder, up to
# eight of them. So a new file meets the names of its own subject alone.
function(weir_group_sources target word)
  set_property(TARGET ${target} PROPERTY UNITY_BUILD_MODE GROUP)
  get_target_property(_sources ${target} SOURCES)
  foreach(_source IN LISTS _sources)
    cmake_path(GET _source PARENT_PATH _folder)
    cmake_path(GET _folder FILENAME _subject)
    cmake_path(GET _source FILENAME _name)
    if(word AND _name MATCHES "^([^_.]+)_")
      set(_subject "${_subject}_${CMAKE_MATCH_1}")
    endif()
    math(EXPR _part "0${_count_${_subject}} / 8")
    math(EXPR _count_${_subject} "0${_count_${_subject}} + 1")
    set_property(SOURCE ${_source} PROPERTY UNITY_GROUP "${_subject}_${_part}")
  endforeach()
endfunction()

find_program(WEIR_CCACHE ccache)
if(WEIR_CCACHE AND PROJECT_IS_TOP_LEVEL AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  # Precompiled headers are cacheable only when the cache may ignore their time stamps; what one checkout compiled is
  # found by another only when paths within it count as relative.
  set(CMAKE_CXX_COMPILER_LAUNCHER
      ${CMAKE_COMMAND} -E env CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime
      CCACHE_BASEDIR=${PROJECT_SOURCE_DIR} CCACHE_NOHASHDIR=true ${WEIR_CCACHE})
endif()

add_library(weir_options INTERFACE)
target_compile_options(weir_options INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Woverloaded-virtual -Wcast-qual -Wunused
  $<$<BOOL:${WEIR_WARNINGS_AS_ERRORS}>:-Werror>
  # gcc 12 sees overruns and uninitialised bytes in the strings of its own library (gcc bugs 105651, 105562).
  $<$<CXX_COMPILER_ID:GNU>:-Wno-array-bounds>
  $<$<CXX_COMPILER_ID:GNU>:-Wno-restrict>
  $<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized>
  $<$<CXX_COMPILER_ID:GNU>:-Wno-stringop-overflow>
  # A lambda in the frame of a coroutine, where the file is one of several in its translation unit.
  $<$<CXX_COMPILER_ID:GNU>:-Wno-subobject-linkage>
  # The dependency file of a precompiled header makes the cache usable with gcc.
  $<$<CXX_COMPILER_ID:GNU>:-fpch-preprocess>)
if(WEIR_SANITIZE)
  target_compile_options(weir_options INTERFACE -fsanitize=${WEIR_SANITIZE} -fno-omit-frame-pointer
                         -fno-sanitize-recover=all)
  target_link_options(weir_options INTERFACE -fsanitize=${WEIR_SANITIZE})
  if(WEIR_SANITIZE MATCHES "undefined")
    # clang 14 cannot place this check's data before a coroutine ("Cannot represent a difference across sections").
    target_compile_options(weir_options INTERFACE $<$<CXX_COMPILER_ID:Clang>:-fno-sanitize=function>)
  endif()
  if(WEIR_SANITIZE MATCHES "thread")
    # gcc warns that it cannot model std::atomic_thread_fence, which Asio uses in paths that hold no shared data here.
    target_compile_options(weir_options INTERFACE $<$<CXX_COMPILER_ID:GNU>:-Wno-tsan>)
  endif()
endif()
