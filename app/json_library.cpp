// Boost.JSON is used as headers only: this is the one place that compiles it.
#include <boost/json/src.hpp>
