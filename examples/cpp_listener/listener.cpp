// Counts the pixels of each class in the label map: shows how to subscribe to the topics in C++.

#include <array>
#include <cstdint>
#include <memory>

#include "rclcpp/rclcpp.hpp"
#include "sensor_msgs/msg/image.hpp"
#include "std_msgs/msg/string.hpp"

class Listener : public rclcpp::Node
{
public:
  Listener()
  : Node("listener")
  {
    // Names and colours of the classes are published once; with transient local, late subscribers receive them, too.
    classes_ = create_subscription<std_msgs::msg::String>(
      "segmentation/label_info_json", rclcpp::QoS(1).transient_local(),
      [this](std_msgs::msg::String::ConstSharedPtr message) {
        RCLCPP_INFO(get_logger(), "classes: %s", message->data.c_str());
      });
    labels_ = create_subscription<sensor_msgs::msg::Image>(
      "segmentation/label_map", 1,
      [this](sensor_msgs::msg::Image::ConstSharedPtr message) {count(*message);});
  }

private:
  void count(const sensor_msgs::msg::Image & labels)
  {
    std::array<uint32_t, 256> pixels{};
    for (uint32_t row = 0; row < labels.height; ++row) {
      const uint8_t * line = &labels.data[row * labels.step];
      for (uint32_t column = 0; column < labels.width; ++column) {
        ++pixels[line[column]];
      }
    }
    for (uint32_t id = 0; id < pixels.size(); ++id) {
      if (pixels[id]) {
        RCLCPP_INFO(get_logger(), "class %u: %u px", id, pixels[id]);
      }
    }
  }

  rclcpp::Subscription<std_msgs::msg::String>::SharedPtr classes_;
  rclcpp::Subscription<sensor_msgs::msg::Image>::SharedPtr labels_;
};

int main(int argc, char ** argv)
{
  rclcpp::init(argc, argv);
  rclcpp::spin(std::make_shared<Listener>());
  rclcpp::shutdown();
  return 0;
}
