#include "picture_plugin.hpp"

__attribute__((visibility("default"))) const PicturePlugin* dvsr_picture_plugin() {
    static const PicturePlugin plugin = {&deblur_file, &bench};
    return &plugin;
}
