# Finds TensorRT 10.3 or later in TENSORRT_ROOT or where the system keeps it, or TensorRT-RTX in
# TENSORRT_RTX_ROOT. Gives the target TensorRT::TensorRT, TensorRT_LIBRARY_DIR, and TensorRT_ENGINE:
# "tensorrt" or "tensorrt-rtx". Their classes bear the same names, so a build has one of them.
if(TENSORRT_RTX_ROOT)
  set(_root "${TENSORRT_RTX_ROOT}")
  set(_names tensorrt_rtx libtensorrt_rtx.so.1)
  set(TensorRT_ENGINE tensorrt-rtx)
  set(_prefix TensorRT_RTX)
  set(_macros TRT_MAJOR_RTX TRT_MINOR_RTX)
  set(TensorRT_LEAST_VERSION 1.0)
else()
  set(_root "${TENSORRT_ROOT}")
  set(_names nvinfer libnvinfer.so.11 libnvinfer.so.10)
  set(TensorRT_ENGINE tensorrt)
  set(_prefix TensorRT)
  set(_macros "(TRT_MAJOR_ENTERPRISE|NV_TENSORRT_MAJOR)" "(TRT_MINOR_ENTERPRISE|NV_TENSORRT_MINOR)")
  set(TensorRT_LEAST_VERSION 10.3)
endif()

find_path(${_prefix}_INCLUDE_DIR NvInferRuntime.h
          HINTS "${_root}" PATH_SUFFIXES include include/${CMAKE_LIBRARY_ARCHITECTURE})
find_library(${_prefix}_LIBRARY NAMES ${_names}
             HINTS "${_root}" PATH_SUFFIXES lib lib64 lib/${CMAKE_LIBRARY_ARCHITECTURE})
mark_as_advanced(${_prefix}_INCLUDE_DIR ${_prefix}_LIBRARY)
set(_include "${${_prefix}_INCLUDE_DIR}")
set(_library "${${_prefix}_LIBRARY}")

set(TensorRT_VERSION)
if(EXISTS "${_include}/NvInferVersion.h")
  foreach(_macro IN LISTS _macros)
    file(STRINGS "${_include}/NvInferVersion.h" _line
         REGEX "#define ${_macro} +[0-9]+" LIMIT_COUNT 1)
    string(REGEX MATCH "[0-9]+" _number "${_line}")
    list(APPEND TensorRT_VERSION ${_number})
  endforeach()
  list(JOIN TensorRT_VERSION "." TensorRT_VERSION)
endif()
if(TensorRT_VERSION AND TensorRT_VERSION VERSION_LESS TensorRT_LEAST_VERSION)
  set(TensorRT_VERSION) # too old: as if it were not there
endif()

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(
  TensorRT REQUIRED_VARS ${_prefix}_LIBRARY ${_prefix}_INCLUDE_DIR TensorRT_VERSION)
if(TensorRT_FOUND AND NOT TARGET TensorRT::TensorRT)
  add_library(TensorRT::TensorRT SHARED IMPORTED)
  set_target_properties(TensorRT::TensorRT PROPERTIES
                        IMPORTED_LOCATION "${_library}"
                        INTERFACE_INCLUDE_DIRECTORIES "${_include}")
endif()
get_filename_component(TensorRT_LIBRARY_DIR "${_library}" DIRECTORY)
